"""Apparent magnitudes of difference-image detections, and which points are good. Pure, compiled."""

from typing import Any, NamedTuple

import numba
import numpy as np

from worker.types.arrays import Bool, Float32, Float64, Int32, Int64, UInt8
from worker.types.light_curves import POINT, PointFlag, Points

CORRECTABLE_ARCSEC = 1.4
"""A reference source nearer than this is the same source (specification: alerts, section 2)."""

MAGNITUDE = 2.5 / np.log(10)
"""Magnitudes by which a source fades when its flux falls to 1/e."""

TWICE_AS_BRIGHT = 2.5 * np.log10(2)
"""Magnitudes by which a sum of two fluxes can at most be brighter than the brighter one."""

CANDID, JD, KNOWN_SINCE = range(3)
"""Columns of a point seen as 8-byte numbers."""

MAGPSF, SIGMAPSF, MAGNR, SIGMAGNR, DISTNR = range(6, 11)
"""Columns of a point seen as float32."""

RB, DRB, PROGRAMID, FLAGS = range(44, 48)
"""Columns of a point seen as bytes."""

POSITIVE, OWN, NEAR_ASTEROID = map(int, PointFlag)


def columns(points: Points, dtype: str) -> Any:
    """Points (N,) as a table of one dtype, (N, 48 / size), without a copy."""
    return points.view(dtype).reshape(len(points), POINT.itemsize // np.dtype(dtype).itemsize)


@numba.njit(nogil=True)
def _corrected(
    magpsf: float, sigmapsf: float, magnr: float, sigmagnr: float, distnr: float, sign: int
) -> tuple[float, float]:
    if not (0 <= distnr < CORRECTABLE_ARCSEC and magnr > 0):
        return np.nan, np.nan
    ratio = sign * np.exp((magnr - magpsf) / MAGNITUDE)
    total = 1 + ratio
    if not total > 0:
        return np.nan, np.nan
    variance = (ratio * sigmapsf) ** 2 - sigmagnr**2
    noise = np.sqrt(variance) if variance > 0 else abs(ratio) * sigmapsf
    return magnr - MAGNITUDE * np.log(total), noise / total


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

    m = -2.5 log10(a + s b), a and b the reference's and the difference's flux, s the sign; here
    in units of a, which takes one exponential. The error takes the reference's noise out of the
    difference's where the root is real, else it is that of an extended source (specification:
    alerts, section 2).
    """
    mag, err = np.empty(len(magpsf)), np.empty(len(magpsf))
    for i in range(len(magpsf)):
        mag[i], err[i] = _corrected(
            magpsf[i], sigmapsf[i], magnr[i], sigmagnr[i], distnr[i], 1 if positive[i] else -1
        )
    return mag, err


class Sorted(NamedTuple):
    """Which points count, of N points of P curves.

    `usable`, `kept` (N,): points that no cut removes, and those of them that go into the window;
    `mag`, `err` (N,): magnitude and error of the kept ones in their curve's kind. Per curve (P,):
    `in_band`, `in_window`: usable points of its own band, kept ones; `apparent`: its kind;
    `by_band` (P, 3): usable points.
    """

    usable: Bool
    kept: Bool
    mag: Float64
    err: Float64
    in_band: Int32
    in_window: Int32
    apparent: Bool
    by_band: Int32


class Curves(NamedTuple):
    """Points of P curves: rows `offsets[i]:offsets[i + 1]` of `at` (place) and `band` (N,)."""

    offsets: Int64
    at: Int32
    band: UInt8


class Wanted(NamedTuple):
    """What is asked of the curves: which (P,), in which band, and whether of a star."""

    curve: Bool
    band: UInt8
    star: Bool


class Passing(NamedTuple):
    """Cuts as tables: by stored rb and drb (256, 256), by programid (256,), and in mag."""

    scores: Bool
    programs: Bool
    saturated_mag: float


@numba.njit(cache=True, nogil=True)
def sort_out(
    facts: Float32, octets: UInt8, curves: Curves, wanted: Wanted, passing: Passing
) -> Sorted:
    """Points by what they are good for; `facts`, `octets`: the stored as float32 and as bytes.

    A curve is apparent when it is a star's and at least half of its points can be corrected
    (design: Window).
    """
    offsets, at, band = curves
    points, count = len(band), len(offsets) - 1
    usable, kept = np.zeros(points, np.bool_), np.zeros(points, np.bool_)
    mag, err = np.empty(points), np.empty(points)
    in_band, in_window = np.zeros(count, np.int32), np.zeros(count, np.int32)
    apparent, by_band = np.zeros(count, np.bool_), np.zeros((count, 3), np.int32)
    of_band = np.empty(points, np.int64)
    for row in range(count):
        if not wanted.curve[row]:
            continue
        own, possible = 0, 0
        for i in range(offsets[row], offsets[row + 1]):
            usable[i] = _passes(octets, at[i], passing)
            if _may_be_saturated(facts, at[i], passing):
                usable[i] &= not _apparent(facts, octets, at[i])[0] < passing.saturated_mag
            by_band[row, band[i] - 1] += usable[i]
            of_band[own] = i  # written in any case: bands alternate, a branch would be guessed
            own += band[i] == wanted.band[row]
        for i in of_band[:own]:
            mag[i], err[i] = _apparent(facts, octets, at[i])
            in_band[row] += usable[i]
            possible += usable[i] & (err[i] > 0)
        apparent[row] = wanted.star[row] and possible > 0 and 2 * possible >= in_band[row]
        for i in of_band[:own]:
            if not apparent[row]:
                positive = octets[at[i], FLAGS] & POSITIVE != 0
                mag[i] = facts[at[i], MAGPSF]
                err[i] = facts[at[i], SIGMAPSF] if positive else np.nan
            kept[i] = usable[i] & (err[i] > 0)
            in_window[row] += kept[i]
    return Sorted(usable, kept, mag, err, in_band, in_window, apparent, by_band)


@numba.njit(nogil=True)
def _passes(octets: UInt8, i: int, passing: Passing) -> bool:
    good = passing.scores[octets[i, RB], octets[i, DRB]] & passing.programs[octets[i, PROGRAMID]]
    return bool(good & (octets[i, FLAGS] & NEAR_ASTEROID == 0))


@numba.njit(nogil=True)
def _may_be_saturated(facts: Float32, i: int, passing: Passing) -> bool:
    """Whether it takes the apparent magnitude to know."""
    brighter = min(facts[i, MAGPSF], facts[i, MAGNR])
    return bool(brighter < passing.saturated_mag + TWICE_AS_BRIGHT)


@numba.njit(nogil=True)
def _apparent(facts: Float32, octets: UInt8, i: int) -> tuple[float, float]:
    return _corrected(
        np.float64(facts[i, MAGPSF]), np.float64(facts[i, SIGMAPSF]), np.float64(facts[i, MAGNR]),
        np.float64(facts[i, SIGMAGNR]), np.float64(facts[i, DISTNR]),
        1 if octets[i, FLAGS] & POSITIVE else -1,
    )  # fmt: skip


@numba.njit(cache=True, nogil=True)
def stretches(
    times: Float64, curves: Curves, rows: Int32, found: Sorted
) -> tuple[Float64, Float64, Float64]:
    """jd, magnitude and error of the kept points of these curves, in turn."""
    total = found.in_window[rows].sum()
    jd, mag, err = np.empty(total + 1), np.empty(total + 1), np.empty(total + 1)
    end = 0
    for row in rows:
        for i in range(curves.offsets[row], curves.offsets[row + 1]):
            # Written in any case, one place behind the end at most: no branch to be guessed.
            jd[end], mag[end], err[end] = times[curves.at[i], JD], found.mag[i], found.err[i]
            end += found.kept[i]
    return jd[:total], mag[:total], err[:total]
