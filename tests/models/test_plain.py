"""`model fit --features` and `model score`: plain feature vectors through the command line."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from models.mcdsvdd import PARITY
from models.metrics import auroc
from models.plain import FeatureError, PlainModel, fit_plain
from worker.commands.model.score import score

QUICK = replace(PARITY, epochs=30, autoencoder_epochs=10)


def three_classes(seed=0, count=600):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    centres = np.random.default_rng(9).normal(size=(3, 10)) * 3
    return centres[y] + rng.normal(size=(count, 10)), np.array(["A", "B", "C"])[y]


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    x, y = three_classes()
    return fit_plain({"x": x, "y": y}, QUICK)


def test_what_is_between_the_classes_is_strange(model):
    x, y = three_classes(1)
    found = model.score(x)
    assert (found.nearest == y).mean() > 0.95
    np.testing.assert_allclose(found.score, found.distances.min(axis=1))
    odd = np.random.default_rng(2).normal(size=(200, 10)) * 2
    assert auroc(found.score, model.score(odd).score) > 0.8


def test_a_saved_model_scores_the_same_from_the_command_line(model, tmp_path):
    x, _ = three_classes(3, 50)
    x[0, 4] = np.nan
    model.save(tmp_path / "m")
    # A worker seldom runs as who trained.
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in (tmp_path / "m").iterdir())
    np.savez(tmp_path / "in.npz", x=x)
    result = CliRunner().invoke(
        score,
        ["--model", str(tmp_path / "m"), "--features", str(tmp_path / "in.npz"), "--out",
         str(tmp_path / "out.npz")],
        catch_exceptions=False,
    )  # fmt: skip
    assert result.exit_code == 0
    with np.load(tmp_path / "out.npz") as out:
        assert out["score"].shape == (50,)
        assert out["nearest"].shape == (50,)
        assert out["distances"].shape == (50, 3)
        np.testing.assert_allclose(out["score"], model.score(x).score, rtol=1e-5)
    assert PlainModel.load(tmp_path / "m").score(x[:0]).score.shape == (0,)


def test_rare_classes_get_no_centre():
    x, y = three_classes(4)
    y[:5] = "RARE"
    assert fit_plain({"x": x, "y": y}, replace(QUICK, epochs=2)).classes == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((5, 2))}, "needed"),
        ({"x": np.zeros((5, 2)), "y": np.array(["a"] * 4)}, "fit"),
        ({"x": np.zeros((5, 2)), "y": np.array(["a"] * 5)}, "30 rows"),
        ({"x": np.full((50, 2), np.inf), "y": np.array(["a"] * 50)}, "infinities"),
    ],
)
def test_bad_features_are_refused(arrays, message):
    with pytest.raises(FeatureError, match=message):
        fit_plain(arrays)


def test_another_width_is_refused(model):
    with pytest.raises(FeatureError, match="features"):
        model.score(np.zeros((3, 4)))
