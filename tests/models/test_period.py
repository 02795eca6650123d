"""The period search against a full fine grid, and what the block says of known curves."""

import numpy as np
import pytest

import models.features
from models.features import PERIOD_NAMES, period_features
from models.periodogram import MAX_FREQUENCY, best_frequency, exact_power


def curve(seed, period, *, points=120, span=400.0, noise=0.02):
    """Irregular exposures of a star with two harmonics; jd, mag, err."""
    rng = np.random.default_rng(seed)
    jd = 2_460_000.0 + np.sort(rng.uniform(0, span, points))
    phase = 2 * np.pi * jd / period
    mag = 17 + 0.3 * np.cos(phase) + 0.1 * np.cos(2 * phase + 1) + rng.normal(0, noise, points)
    return jd, mag, np.full(points, noise)


def normalised(jd, mag, err):
    weight = 1 / err**2
    weight /= weight.sum()
    return jd - jd[0], mag - (weight * mag).sum(), weight


@pytest.mark.parametrize(("seed", "period"), [(1, 0.61), (2, 0.08), (3, 5.3), (4, 37.0)])
def test_the_highest_peak_is_that_of_a_fine_grid(seed, period):
    time, centred, weight = normalised(*curve(seed, period))
    found, height = best_frequency(time, centred, weight)
    grid = np.arange(0.5 / time[-1], MAX_FREQUENCY, 1 / (6 * time[-1]))
    best = max(exact_power(time, centred, weight, frequency) for frequency in grid)
    assert height >= 0.995 * best
    assert found == pytest.approx(1 / period, abs=0.3 / time[-1])


def explained(jd, mag, err):
    """Share of the variance that the highest peak explains."""
    time, centred, weight = normalised(jd, mag, err)
    return best_frequency(time, centred, weight)[1] / (weight * centred**2).sum()


def test_noise_has_no_strong_peak():
    rng = np.random.default_rng(5)
    jd, mag, err = curve(5, 1.3)
    assert explained(jd, 17 + rng.normal(0, 0.02, len(jd)), err) < 0.5 < explained(jd, mag, err)


def test_the_block_describes_the_fold():
    jd, mag, err = curve(6, 0.61)
    (row,) = period_features(np.array([0, len(jd)]), jd, mag, err)
    block = dict(zip(PERIOD_NAMES, row.tolist(), strict=True))
    assert block["log_period"] == pytest.approx(np.log10(0.61), abs=0.002)
    assert block["r21"] == pytest.approx(1 / 3, abs=0.05)
    assert block["harmonic_residual"] < 0.05


def test_below_forty_points_there_is_none():
    jd, mag, err = (values[:39] for values in curve(7, 0.61))
    assert np.isnan(period_features(np.array([0, 39]), jd, mag, err)).all()


def test_a_curve_that_grows_within_a_batch_is_looked_at_once_a_step(monkeypatch):
    rng = np.random.default_rng(5)
    jd = np.sort(rng.uniform(0, 300, 43)) + 2460000.0
    mag, lengths = 18 + np.sin(jd), np.arange(40, 44)
    computed = []
    describe = models.features.describe_period
    monkeypatch.setattr(
        models.features, "describe_period", lambda *a: (computed.append(len(a[0])), describe(*a))
    )
    found = period_features(
        np.concatenate([[0], np.cumsum(lengths)]),
        *(np.concatenate([x[:n] for n in lengths]) for x in (jd, mag, np.full(43, 0.05))),
    )
    assert computed == [40]
    np.testing.assert_array_equal(found, np.tile(found[0], (4, 1)))
