"""Windows of light curves: which points an encoder sees, and how they are centred."""

import numpy as np
from numpy.typing import NDArray

from models.data import cut_rows

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

ERROR_SCALE = 0.3


def newest(offsets: Int64, window: int) -> tuple[Int64, Int64]:
    """Point indices of the newest `window` points of each curve, and the new offsets."""
    n = np.diff(offsets)
    length = np.minimum(n, window)
    return cut_rows(offsets, n - length, length)


def authors_windows(offsets: Int64, window: int) -> tuple[Int64, Int64, Int64]:
    """Point indices, new offsets and the curve of each window, as the authors' code cuts.

    floor(n / window) + 1 windows a curve. The last is shifted back to be full: it overlaps the
    one before, and repeats it where n is a multiple of `window` (specification: astromer,
    section 2).
    """
    n = np.diff(offsets)
    count = n // window + 1
    curve = np.repeat(np.arange(len(n)), count)
    number = np.arange(len(curve)) - np.repeat(np.cumsum(count) - count, count)
    first = np.maximum(np.minimum(n[curve] - window, number * window), 0)
    length = np.minimum(n[curve], window)
    new = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    index = np.arange(new[-1]) - np.repeat(new[:-1] - (offsets[curve] + first), length)
    return index, new, curve


def model_inputs(
    offsets: Int64, jd: Float64, mag: Float64, err: Float64, channels: str
) -> tuple[Float32, Float32]:
    """Per point the input channels (N, C) and the time (N,), centred per window in float64.

    Near jd 2.46e6 a float32 steps by a quarter of a day: the mean goes before the cast. A value
    that is not finite spoils its own window.
    """
    with np.errstate(all="ignore"):
        return _centred(offsets, jd, mag, err, channels)


def _centred(
    offsets: Int64, jd: Float64, mag: Float64, err: Float64, channels: str
) -> tuple[Float32, Float32]:
    n = np.diff(offsets)
    row = np.repeat(np.arange(len(n)), n)
    count = np.maximum(n, 1)
    # Sums start from the first value of each row, so that 2.46e6 doesn't eat digits.
    base = np.zeros(len(n))
    base[n > 0] = jd[offsets[:-1][n > 0]]
    days = jd - base[row]
    days -= (np.bincount(row, days, len(n)) / count)[row]
    centred = mag - (np.bincount(row, mag, len(n)) / count)[row]
    if channels == "mag":
        return centred[:, None].astype(np.float32), days.astype(np.float32)
    columns = (centred, ERROR_SCALE * np.arcsinh(centred / err), np.log10(err))
    return np.stack(columns, axis=1).astype(np.float32), days.astype(np.float32)


def by_time(offsets: Int64, jd: Float64) -> Int64:
    """Order of the points that makes every curve ascend in time; ties keep their order."""
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return np.lexsort((jd, row))


def is_sorted(offsets: Int64, jd: Float64) -> bool:
    """Whether every curve ascends in time."""
    falls = np.flatnonzero(np.diff(jd) < 0) + 1
    return bool(np.isin(falls, offsets).all())
