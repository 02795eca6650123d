"""Side features: what a light curve says without an encoder, and when to look for a period.

None of them holds the number of points, span, cadence or mean magnitude: those describe the
survey, not the star (specification: science, section 1).
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from models.memo import PeriodMemo
from models.period import PERIOD_NAMES, describe_period

__all__ = ["PERIOD_NAMES", "SIDE_NAMES", "period_features", "period_slices", "side_features"]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

SIDE_NAMES = (
    "log_amplitude",
    "log_std",
    "skew",
    "kurtosis",
    "stetson_k",
    "von_neumann_eta",
    "log_reduced_chi2",
    "short_lag_ratio",
    "bright_fraction",
    "middle_80",
    "middle_50",
    "beyond_std",
    "brightest_deviation",
    "faintest_deviation",
    "trend",
    "steepest_step",
    "pair_correlation",
    "curvature",
)

SHORT_LAG_DAYS = 1.5
SHORTEST, LONGEST = 40, 400
"""Points that the period block needs and uses at most."""
MONTH_DAYS = 30.0
FLOOR = 1e-4
"""Smallest amplitude, scatter or chi-square that a logarithm sees."""


@numba.njit(cache=True, nogil=True)
def side_features(offsets: Int64, jd: Float64, mag: Float64, err: Float64) -> Float64:
    """Side features per ragged curve, (B, len(SIDE_NAMES)) float64; NaN where undefined.

    Curve *i* has points `offsets[i]:offsets[i + 1]`, ascending jd [d], mag and err [mag].
    """
    rows = len(offsets) - 1
    out = np.full((rows, len(SIDE_NAMES)), np.nan)
    for row in range(rows):
        start, stop = offsets[row], offsets[row + 1]
        if stop - start >= 3:
            _side(jd[start:stop], mag[start:stop], err[start:stop], out[row])
    return out


@numba.njit(cache=True, nogil=True)
def _side(jd: Float64, mag: Float64, err: Float64, out: Float64) -> None:
    n = len(mag)
    centred = mag - mag.mean()
    variance = (centred**2).mean()
    std = math.sqrt(variance)
    ordered = np.sort(mag)
    out[0] = math.log10(max(_quantile(ordered, 0.975) - _quantile(ordered, 0.025), FLOOR))
    out[1] = math.log10(max(std, FLOOR))
    if std < FLOOR:
        return
    out[2] = (centred**3).mean() / std**3
    out[3] = (centred**4).mean() / variance**2 - 3.0
    weight = 1.0 / err**2
    residual = (mag - (mag * weight).sum() / weight.sum()) / err
    chi2 = (residual**2).sum()
    out[4] = np.abs(residual).mean() / max(math.sqrt(chi2 / n), FLOOR)
    steps = np.diff(mag)
    out[5] = (steps**2).mean() / variance
    out[6] = math.log10(max(chi2 / (n - 1), FLOOR))
    near = np.diff(jd) < SHORT_LAG_DAYS
    if near.any():
        out[7] = (steps[near] ** 2).mean() / (2.0 * variance)
    _distribution(ordered, mag, std, out)
    _sequence(jd, centred, residual, std, out)


@numba.njit(cache=True, nogil=True)
def _distribution(ordered: Float64, mag: Float64, std: float, out: Float64) -> None:
    """Shape of the magnitudes' distribution, whatever their order."""
    low, high = _quantile(ordered, 0.025), _quantile(ordered, 0.975)
    width = max(high - low, FLOOR)
    median = _quantile(ordered, 0.5)
    out[8] = (median - low) / width
    out[9] = (_quantile(ordered, 0.9) - _quantile(ordered, 0.1)) / width
    middle = _quantile(ordered, 0.75) - _quantile(ordered, 0.25)
    out[10] = middle / width
    out[11] = (np.abs(mag - mag.mean()) > std).mean()
    out[12] = math.log10(max((median - ordered[0]) / max(middle, FLOOR), 0.01))
    out[13] = math.log10(max((ordered[-1] - median) / max(middle, FLOOR), 0.01))


@numba.njit(cache=True, nogil=True)
def _sequence(jd: Float64, centred: Float64, residual: Float64, std: float, out: Float64) -> None:
    """Order in time: trend, steepest step, correlation of neighbours, curvature."""
    days = jd - jd.mean()
    scatter = math.sqrt((days**2).mean())
    if scatter > 0.0:
        unit = days / scatter
        out[14] = (unit * centred).mean() / std
        bow = unit**2 - (unit**3).mean() * unit - 1.0
        norm = math.sqrt((bow**2).mean())
        if norm > FLOOR:
            out[17] = (bow * centred).mean() / (norm * std)
    out[15] = math.log10(max(np.abs(np.diff(centred)).max() / std, FLOOR))
    products = residual[1:] * residual[:-1]
    out[16] = (np.sign(products) * np.sqrt(np.abs(products))).mean()
    out[16] = math.copysign(math.log10(1.0 + abs(out[16])), out[16])


@numba.njit(cache=True, nogil=True)
def _quantile(ordered: Float64, share: float) -> float:
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (place - low) * (ordered[high] - ordered[low]))


def period_features(
    offsets: Int64, jd: Float64, mag: Float64, err: Float64, memo: PeriodMemo | None = None
) -> Float64:
    """Period block per ragged curve, (B, len(PERIOD_NAMES)); NaN below 40 points.

    Computed on the part of the curve that `period_slices` names, unless the memo has it.
    """
    memo = PeriodMemo() if memo is None else memo
    first, length = period_slices(offsets, jd)
    rows = np.flatnonzero(length).tolist()
    parts = [slice(first[row], first[row] + length[row]) for row in rows]
    keys = [memo.key(jd[part], mag[part], err[part]) for part in parts]
    known, new = memo.recall(keys), {}
    out = np.full((len(first), len(PERIOD_NAMES)), np.nan)
    for row, part, key in zip(rows, parts, keys, strict=True):
        if key not in known:
            describe_period(jd[part], mag[part], err[part], out[row])
            known[key] = new[key] = out[row]
        out[row] = known[key]
    memo.keep(new)
    return out


def period_slices(offsets: Int64, jd: Float64) -> tuple[Int64, Int64]:
    """First point and number of points (B,) that the period block sees; 0 below 40 points.

    A curve is cut to a ladder of lengths, each a tenth longer, so that it is looked at again
    only when it grew by as much; from 400 points on, to the newest 400 before the last multiple
    of 30 d. A pure function of the curve, so that a memo of it changes nothing.
    """
    n = np.diff(offsets)
    first = offsets[:-1].copy()
    length = np.where(n >= LADDER[0], LADDER[np.searchsorted(LADDER, n, side="right") - 1], 0)
    for row in np.flatnonzero(n >= LADDER[-1]).tolist():
        times = jd[offsets[row] : offsets[row + 1]]
        settled = int(
            np.searchsorted(times, MONTH_DAYS * np.floor(times[-1] / MONTH_DAYS), "right")
        )
        first[row] += max(settled - LADDER[-1], 0)
    return first, length


def _ladder() -> Int64:
    steps = [SHORTEST]
    while steps[-1] < LONGEST:
        steps.append(min(LONGEST, steps[-1] + steps[-1] // 10))
    return np.array(steps, dtype=np.int64)


LADDER = _ladder()
"""Lengths at which the period block is computed."""
