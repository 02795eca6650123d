"""The random forest of P3, and the rows of the ablation table."""

from dataclasses import replace

import numpy as np
import pytest

from models.ablation import RECIPE, ROWS, named
from models.astromer import Astromer
from models.trees import RandomForest


def blobs(rng, count):
    y = rng.integers(0, 3, count)
    x = rng.normal(0, 1, (count, 6))
    x[:, 0] += 4 * (y == 1)
    x[:, 1] += 4 * (y == 2)
    return x, y


def test_a_forest_tells_classes_apart():
    rng = np.random.default_rng(1)
    x, y = blobs(rng, 300)
    unseen, truth = blobs(rng, 500)
    share = RandomForest(x, y, 3, 0)(unseen)
    np.testing.assert_allclose(share.sum(axis=1), 1.0)
    assert (share.argmax(axis=1) == truth).mean() > 0.9


def test_a_forest_is_the_same_by_seed_only():
    x, y = blobs(np.random.default_rng(2), 90)
    first, again, other = (RandomForest(x, y, 3, seed)(x) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_inputs_that_do_not_vary_give_the_shares():
    share = RandomForest(np.zeros((40, 2)), np.arange(40) % 4, 4, 0)(np.zeros((1, 2)))
    assert share.max() < 0.4


def test_every_row_of_the_ablation_is_an_encoder():
    for row in ROWS.values():
        assert Astromer(replace(RECIPE, **row.config)).summary_size > 0
    with pytest.raises(ValueError, match="no such rows"):
        named(["a row of nobody"])
