"""The packaged artefact: whole, small, without other people's data, calibrated, steady."""

import json

import numpy as np
import pytest
from safetensors import safe_open

from models import default_artifact
from models.artifact import ArtifactError, verify
from models.bins import bin_of
from models.drift import spearman
from models.fit import ordinary_curves
from models.golden import GOLDEN_FILE
from models.scorer import Scorer

MAX_BYTES = 10_000_000


@pytest.fixture(scope="module")
def scorer():
    return Scorer.load(default_artifact(), "cpu")


@pytest.fixture(scope="module")
def night(scorer):
    """A night's ordinary objects that no calibration saw, and their scores."""
    curves = ordinary_curves(987_000, 4000)
    kind = curves.apparent.astype(np.uint8)
    return curves, kind, scorer.score(curves.offsets, curves.time, curves.mag, curves.err, kind)


def test_it_is_whole_and_small():
    folder = default_artifact()
    assert len(verify(folder)) == 64
    assert sum(path.stat().st_size for path in folder.iterdir()) < MAX_BYTES
    suffixes = {path.suffix for path in folder.iterdir()}
    assert suffixes <= {".safetensors", ".json", ".md", ""}


def test_it_holds_no_ids_times_or_magnitudes():
    # The golden batch is of this project's simulator.
    ours = {default_artifact() / GOLDEN_FILE}
    for path in set(default_artifact().glob("*.safetensors")) - ours:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            assert not any(w in n for n in names for w in ("object", "jd", "time", "mag"))
            for name in (n for n in names if n.endswith("reference.x")):
                assert file.get_tensor(name).abs().max() <= 5.0


def test_a_changed_file_is_refused(tmp_path):
    for path in default_artifact().iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert verify(tmp_path) == verify(default_artifact())
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace("anomaly-small", "anomaly-large"))
    with pytest.raises(ArtifactError, match=r"config\.json"):
        verify(tmp_path)


def test_the_card_says_what_it_is():
    card = (default_artifact() / "card.md").read_text()
    record = json.loads((default_artifact() / "config.json").read_text())
    assert record["name"] in card
    assert all(name in card for name in record["classes"])


def test_a_row_equals_itself_alone(scorer, night):
    curves, kind, together = night
    for row in range(0, 4000, 401):
        one = curves.take(np.array([row]))
        alone = scorer.score(one.offsets, one.time, one.mag, one.err, kind[row : row + 1])
        assert alone.score[0] == pytest.approx(together.score[row], abs=1e-5)
        np.testing.assert_allclose(alone.embedding[0], together.embedding[row], atol=1e-5)


def test_an_empty_batch_and_bad_values(scorer):
    none = np.zeros(0)
    empty = scorer.score(np.zeros(1, dtype=np.int64), none, none, none, none.astype(np.uint8))
    assert len(empty.score) == 0
    assert len(scorer.p_values("simulated", none.astype(np.uint8), none, empty).p) == 0
    offsets = np.array([0, 10, 20])
    jd = np.tile(np.linspace(2.46e6, 2.46e6 + 9, 10), 2)
    mag = 18 + 0.1 * np.sin(jd)
    mag[3] = np.nan
    found = scorer.score(offsets, jd, mag, np.full(20, 0.1), np.ones(2, dtype=np.uint8))
    assert np.isnan(found.score[0])
    assert np.isfinite(found.score[1])


def test_unseen_inliers_are_flagged_at_the_nominal_rate(scorer, night):
    curves, kind, scores = night
    n = np.diff(curves.offsets)
    found = scorer.p_values("simulated", kind, n, scores)
    use = n >= 10
    assert 0.005 <= (found.p[use] <= 0.01).mean() <= 0.02
    bins, off = bin_of(n), []
    for b in np.unique(bins):
        mine = bins == b
        if mine.sum() >= 200:
            # Of those judged, and of those that calibrate: 400 in a bin, not thousands.
            error = np.sqrt(0.1 * 0.9 * (1 / mine.sum() + 1 / found.n_cal[mine].min()))
            off.append(((found.p[mine] <= 0.1).mean() - 0.1) / error)
    assert len(off) > 1
    assert np.abs(off).max() < 4
    assert np.sqrt(np.mean(np.square(off))) < 1.5, "more than chance, all bins together"


def test_a_foreign_survey_gets_no_p(scorer, night):
    curves, kind, scores = night
    found = scorer.p_values("ZTF", kind, np.diff(curves.offsets), scores)
    assert np.isnan(found.p).all()
    assert np.isfinite(found.p_provisional).all()


def test_p_does_not_follow_the_observation_pattern(scorer, night):
    curves, kind, scores = night
    n = np.diff(curves.offsets)
    starts, ends = curves.offsets[:-1], curves.offsets[1:]
    span = curves.time[ends - 1] - curves.time[starts]
    mean = np.add.reduceat(curves.mag, starts) / n
    pattern = {"n": n, "span": span, "cadence": span / n, "magnitude": mean}
    limit = {"n": 0.3, "span": 0.3, "cadence": 0.3, "magnitude": 0.45}
    p = scorer.p_values("simulated", kind, n, scores).p
    rows = []
    for group in np.unique(curves.group):
        mine = (curves.group == group) & (n >= 10)
        if mine.sum() < 100:
            continue
        found = {name: spearman(p[mine], v[mine].astype(float)) for name, v in pattern.items()}
        rows.append((group, found))
    for group, found in rows:
        print(group, {name: round(value, 2) for name, value in found.items()})
    assert rows
    worst = {name: max(abs(found[name]) for _, found in rows) for name in limit}
    assert all(worst[name] <= limit[name] for name in limit), worst
