"""The masked task against the authors' masks, weights and losses."""

import numpy as np
import pytest
import torch

from models.masking import loss_weights, mask_window, masked_r2, masked_rmse
from tests.astromer_vectors import needs_vectors, stored


@pytest.mark.parametrize(
    ("n", "probed", "hidden"), [(200, 100, 64), (5, 2, 0), (8, 4, 2), (137, 68, 43)]
)
def test_counts(n, probed, hidden):
    """200 points: 100 probed = 64 hidden + 20 as they are + 16 with another's magnitude."""
    masks = mask_window(np.random.default_rng(1), n)
    assert masks.probed.sum() == probed
    assert masks.hidden.sum() == hidden
    assert not (masks.hidden & ~masks.probed).any()
    moved = masks.shown != np.arange(n)
    assert not (moved & (masks.hidden | ~masks.probed)).any()


def test_probing_everything_hides_nothing():
    masks = mask_window(np.random.default_rng(1), 30, probed=1.0)
    assert masks.probed.all()
    assert not masks.hidden.any()


@needs_vectors
def test_counts_are_the_authors():
    found = stored("pretraining")
    full = found["mask_in"][..., 0], found["mask_out"][..., 0]
    valid = 1 - stored("windows")["mask_in"][..., 0]
    for row, n in enumerate(valid.sum(1).astype(int).tolist()):
        masks = mask_window(np.random.default_rng(row), n)
        assert masks.probed.sum() == full[1][row].sum()
        assert masks.hidden.sum() == full[0][row, :n].sum()


@needs_vectors
def test_weights_are_the_authors():
    found = stored("pretraining")
    valid = 1 - stored("windows")["mask_in"][..., 0]
    for row, n in enumerate(valid.sum(1).astype(int).tolist()):
        weights = loss_weights(found["error"][row, :n, 0], 200)
        np.testing.assert_allclose(weights[:n], found["w_error"][row, :n, 0], atol=2e-5)


@needs_vectors
@pytest.mark.parametrize("run", ["a1", "a2_no_token", "a2_with_token"])
def test_losses_are_the_authors(run):
    found = stored("pretraining")
    version, _, token = run.partition("_")
    name = f"{version}_reconstruction" + (f"_{token}" if token else "")
    result = torch.from_numpy(found[name])
    want, probed, weight = (
        torch.from_numpy(found[n][..., 0]) for n in ("target", "mask_out", "w_error")
    )
    for key, value in (
        ("rmse_unweighted", masked_rmse(result, want, probed, None)),
        ("rmse_weighted", masked_rmse(result, want, probed, weight)),
        ("r2", masked_r2(result, want, probed)),
    ):
        assert float(value) == pytest.approx(float(found[f"{key}/{run}"]), rel=1e-4, abs=1e-5)
