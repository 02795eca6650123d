"""Apparent magnitudes of difference-image detections, and which points are good. Pure, compiled."""

from typing import Any

import numba
import numpy as np

from worker.types.arrays import Bool, Float32, Float64, Int64, UInt8
from worker.types.light_curves import POINT, PointFlag, Points

CORRECTABLE_ARCSEC = 1.4
"""A reference source nearer than this is the same source (specification: alerts, section 2)."""

TWICE_AS_BRIGHT = 2.5 * np.log10(2)
"""Magnitudes by which a sum of two fluxes can at most be brighter than the brighter one."""

MAGPSF, SIGMAPSF, MAGNR, SIGMAGNR, DISTNR = range(6, 11)
"""Columns of a point seen as float32."""

RB, DRB, PROGRAMID, FLAGS = range(44, 48)
"""Columns of a point seen as bytes."""

POSITIVE, NEAR_ASTEROID = int(PointFlag.POSITIVE), int(PointFlag.NEAR_ASTEROID)


def columns(points: Points, dtype: str) -> Any:
    """Points (N,) as a table of one dtype, (N, 48 / size), without a copy."""
    return points.view(dtype).reshape(len(points), POINT.itemsize // np.dtype(dtype).itemsize)


@numba.njit(nogil=True)
def _corrected(
    magpsf: float, sigmapsf: float, magnr: float, sigmagnr: float, distnr: float, sign: int
) -> tuple[float, float]:
    if not (0 <= distnr < CORRECTABLE_ARCSEC and magnr > 0):
        return np.nan, np.nan
    a, b = 10 ** (-0.4 * magnr), 10 ** (-0.4 * magpsf)
    total = a + sign * b
    if not total > 0:
        return np.nan, np.nan
    variance = (b * sigmapsf) ** 2 - (a * sigmagnr) ** 2
    noise = np.sqrt(variance) if variance > 0 else b * sigmapsf
    return -2.5 * np.log10(total), noise / total


@numba.njit(cache=True, nogil=True)
def corrected(
    magpsf: Float64,
    sigmapsf: Float64,
    magnr: Float64,
    sigmagnr: Float64,
    distnr: Float64,
    positive: Bool,
) -> tuple[Float64, Float64]:
    """Apparent magnitude and error (mag) from a difference; NaN where it is undefined.

    m = -2.5 log10(a + s b), a and b the reference's and the difference's flux, s the sign. The
    error takes the reference's noise out of the difference's where the root is real, else it
    is that of an extended source (specification: alerts, section 2).
    """
    mag, err = np.empty(len(magpsf)), np.empty(len(magpsf))
    for i in range(len(magpsf)):
        mag[i], err[i] = _corrected(
            magpsf[i], sigmapsf[i], magnr[i], sigmagnr[i], distnr[i], 1 if positive[i] else -1
        )
    return mag, err


@numba.njit(cache=True, nogil=True)
def measured(
    facts: Float32, octets: UInt8, wanted: Bool, own: Bool, passing: Bool, listed: Bool,
    saturated_mag: float,
) -> tuple[Bool, Float64, Float64]:  # fmt: skip
    """Which points are usable (N,), and the apparent magnitude and error of those in `own`.

    `facts`, `octets`: the points as float32 and as bytes; `wanted`, `own` (N,): points that are
    asked for, and those of their packet's band; `passing` (256, 256): by stored rb and drb;
    `listed` (256,): by programid. Points of other bands are corrected only where they could be
    brighter than `saturated_mag`, for that needs a power and a logarithm each.
    """
    count = len(wanted)
    usable = np.zeros(count, np.bool_)
    mag, err = np.full(count, np.nan), np.full(count, np.nan)
    for i in range(count):
        flags = octets[i, FLAGS]
        if not (wanted[i] and listed[octets[i, PROGRAMID]]) or flags & NEAR_ASTEROID:
            continue
        if not passing[octets[i, RB], octets[i, DRB]]:
            continue
        magpsf, magnr = np.float64(facts[i, MAGPSF]), np.float64(facts[i, MAGNR])
        if own[i] or min(magpsf, magnr) < saturated_mag + TWICE_AS_BRIGHT:
            mag[i], err[i] = _corrected(
                magpsf,
                np.float64(facts[i, SIGMAPSF]),
                magnr,
                np.float64(facts[i, SIGMAGNR]),
                np.float64(facts[i, DISTNR]),
                1 if flags & POSITIVE else -1,
            )
        usable[i] = not mag[i] < saturated_mag
    return usable, mag, err


@numba.njit(cache=True, nogil=True)
def taken(records: Int64, index: Int64) -> Int64:
    """These points as integers (M, 6), with known_since zeroed: the facts alone."""
    facts = np.empty((len(index), records.shape[1]), np.int64)
    for row in range(len(index)):
        for column in range(records.shape[1]):
            facts[row, column] = records[index[row], column]
        facts[row, 2] = 0
    return facts
