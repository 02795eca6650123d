"""Scalings of inputs: missing and far values, ties, order, files."""

import numpy as np
import pytest

from models.scaling import CLIP, BlendedScaling, Scaling

RNG = np.random.default_rng(4)
KINDS = (Scaling, BlendedScaling)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_values_are_the_median(kind):
    raw = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan]])
    scaling = kind.of(raw)
    np.testing.assert_array_equal(scaling.apply(raw)[:, 1], 0.0)
    assert scaling.apply(np.array([[np.nan, 0.0]]))[0].tolist() == [0.0, 0.0]
    assert scaling.apply(np.array([[2.0, np.nan]]))[0, 0] == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_far_values_are_clipped(kind):
    scaling = kind.of(RNG.normal(size=(500, 1)))
    far = scaling.apply(np.array([[-np.inf], [-1e9], [1e9], [np.inf]]))[:, 0]
    assert far.tolist() == [-CLIP, -CLIP, CLIP, CLIP]
    assert scaling.apply(np.zeros((0, 1))).shape == (0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_order_is_kept(kind):
    scaling = kind.of(RNG.lognormal(size=(2000, 1)))
    scaled = scaling.apply(np.linspace(-5, 40, 3000)[:, None])[:, 0]
    assert (np.diff(scaled) >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_saving_changes_nothing(kind):
    raw = RNG.lognormal(size=(300, 4))
    scaling = kind.of(raw)
    np.testing.assert_array_equal(kind.from_tensors(scaling.tensors()).apply(raw),
                                  scaling.apply(raw))  # fmt: skip


def test_normal_inputs_look_the_same_to_both():
    raw = RNG.normal(3.0, 7.0, size=(50_000, 1))
    both = [kind.of(raw).apply(raw) for kind in KINDS]
    assert np.abs(both[0] - both[1]).max() < 0.1


def test_a_blend_is_half_distance_and_half_quantile():
    # Uniform from 0 to 1: the normal deviate of the quantile x is known.
    scaling = BlendedScaling.of(np.linspace(0, 1, 100_001)[:, None])
    quantile = {0.5: 0.0, 0.841345: 1.0, 0.022750: -2.0}
    for x, deviate in quantile.items():
        robust = (x - 0.5) / (1.4826 * 0.25)
        found = scaling.apply(np.array([[x]]))[0, 0]
        assert found == pytest.approx(0.5 * (robust + deviate), abs=2e-3)


def test_a_common_value_lies_in_the_middle_of_its_quantiles():
    # A third of the inliers have 0, the smallest value: its quantiles end at 1/3.
    raw = np.concatenate([np.zeros(3000), RNG.uniform(1, 2, 6000)])[:, None]
    found = BlendedScaling.of(raw).apply(np.array([[0.0], [1e-9]]))[:, 0]
    robust = Scaling.of(raw).apply(np.array([[0.0]]))[0, 0]
    assert 2 * found[0] - robust == pytest.approx((-2.5 - 0.43) / 2, abs=0.1)
    assert found[1] > found[0]
