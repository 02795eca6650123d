"""Cutting and centring against the authors' windows."""

import numpy as np
import pytest

from models.windows import authors_windows, by_time, is_sorted, model_inputs, newest
from tests.astromer_vectors import needs_vectors, stored


def starts(n):
    index, offsets, _ = authors_windows(np.array([0, n]), 200)
    return index[offsets[:-1]].tolist(), np.diff(offsets).tolist()


@pytest.mark.parametrize(
    ("n", "first", "length"),
    [
        (508, [0, 200, 308], [200] * 3),
        (200, [0, 0], [200] * 2),
        (400, [0, 200, 200], [200] * 3),
        (5, [0], [5]),
        (199, [0], [199]),
    ],
)
def test_windows_overlap_and_repeat(n, first, length):
    assert starts(n) == (first, length)


@needs_vectors
def test_the_authors_windows_are_found_again():
    """Times within their float32 error (0.114 d), magnitudes within 1e-5."""
    wanted = stored("windows")
    for name, curve in stored("lightcurves").items():
        rows = np.flatnonzero(wanted["lcid"] == name)
        index, offsets, _ = authors_windows(np.array([0, len(curve)]), 200)
        assert len(rows) == len(offsets) - 1
        x, times = model_inputs(offsets, *curve[index].T, "mag")
        for row, start, stop in zip(rows, offsets[:-1], offsets[1:], strict=True):
            n = stop - start
            assert np.abs(times[start:stop] - wanted["times"][row, :n, 0]).max() <= 0.15
            assert np.abs(x[start:stop] - wanted["input"][row, :n]).max() <= 1e-5
            assert (wanted["mask_in"][row, :, 0] == (np.arange(200) >= n)).all()


def test_means_are_taken_in_float64():
    """Julian dates in float32 would be off by an eighth of a day."""
    jd = 2_460_000.123_456 + np.cumsum(np.full(300, 0.37))
    mag = np.linspace(17, 18, 300)
    x, times = model_inputs(np.array([0, 300]), jd, mag, np.full(300, 0.1), "mag")
    assert np.abs(times - (jd - jd.mean())).max() <= 1e-5
    assert np.abs(x[:, 0] - (mag - mag.mean())).max() <= 1e-6


def test_newest_points():
    index, offsets = newest(np.array([0, 3, 3, 10]), 4)
    assert index.tolist() == [0, 1, 2, 6, 7, 8, 9]
    assert offsets.tolist() == [0, 3, 3, 7]


def test_order_in_time():
    offsets, jd = np.array([0, 3, 5]), np.array([2.0, 1.0, 3.0, 0.5, 0.5])
    assert not is_sorted(offsets, jd)
    assert by_time(offsets, jd).tolist() == [1, 0, 2, 3, 4]
    assert is_sorted(offsets, jd[by_time(offsets, jd)])
