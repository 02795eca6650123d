"""Apparent magnitudes of difference-image detections, and which points are good. Pure, compiled."""

from typing import Any, NamedTuple

import numba
import numpy as np

from worker.types.arrays import Bool, Float32, Float64, Int32, Int64, UInt8
from worker.types.light_curves import POINT, PointFlag, Points

CORRECTABLE_ARCSEC = 1.4
"""A reference source nearer than this is the same source (specification: alerts, section 2)."""

TWICE_AS_BRIGHT = 2.5 * np.log10(2)
"""Magnitudes by which a sum of two fluxes can at most be brighter than the brighter one."""

CANDID, JD, KNOWN_SINCE = range(3)
"""Columns of a point seen as 8-byte numbers."""

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
    facts: Float32, octets: UInt8, offsets: Int64, band: UInt8, wanted: Wanted, passing: Passing
) -> Sorted:
    """Points by what they are good for; `facts`, `octets`: the points as float32 and as bytes.

    A curve is apparent when it is a star's and at least half of its points can be corrected
    (design: Window).
    """
    points, curves = len(band), len(offsets) - 1
    usable, kept = np.zeros(points, np.bool_), np.zeros(points, np.bool_)
    mag, err = np.empty(points), np.empty(points)
    in_band, in_window = np.zeros(curves, np.int32), np.zeros(curves, np.int32)
    apparent, by_band = np.zeros(curves, np.bool_), np.zeros((curves, 3), np.int32)
    for row in range(curves):
        if not wanted.curve[row]:
            continue
        start, stop, possible = offsets[row], offsets[row + 1], 0
        for i in range(start, stop):
            own = band[i] == wanted.band[row]
            usable[i], mag[i], err[i] = _measured(facts, octets, i, own, passing)
            by_band[row, band[i] - 1] += usable[i]
            in_band[row] += own and usable[i]
            possible += own and usable[i] and err[i] > 0
        apparent[row] = wanted.star[row] and possible > 0 and 2 * possible >= in_band[row]
        for i in range(start, stop):
            if not usable[i] or band[i] != wanted.band[row]:
                continue
            kept[i] = err[i] > 0
            if not apparent[row]:
                mag[i], err[i] = facts[i, MAGPSF], facts[i, SIGMAPSF]
                kept[i] = err[i] > 0 and octets[i, FLAGS] & POSITIVE != 0
            in_window[row] += kept[i]
    return Sorted(usable, kept, mag, err, in_band, in_window, apparent, by_band)


@numba.njit(nogil=True)
def _measured(
    facts: Float32, octets: UInt8, i: int, own: int, passing: Passing
) -> tuple[bool, float, float]:
    """Whether a point is usable, and its apparent magnitude and error.

    Points of other bands are corrected only where they could be saturated: that takes two powers
    and a logarithm.
    """
    flags, mag, err = octets[i, FLAGS], np.nan, np.nan
    if not passing.programs[octets[i, PROGRAMID]] or flags & NEAR_ASTEROID:
        return False, mag, err
    if not passing.scores[octets[i, RB], octets[i, DRB]]:
        return False, mag, err
    magpsf, magnr = np.float64(facts[i, MAGPSF]), np.float64(facts[i, MAGNR])
    if own or min(magpsf, magnr) < passing.saturated_mag + TWICE_AS_BRIGHT:
        sigmapsf, sigmagnr = np.float64(facts[i, SIGMAPSF]), np.float64(facts[i, SIGMAGNR])
        distnr, sign = np.float64(facts[i, DISTNR]), 1 if flags & POSITIVE else -1
        mag, err = _corrected(magpsf, sigmapsf, magnr, sigmagnr, distnr, sign)
    return not mag < passing.saturated_mag, mag, err


@numba.njit(cache=True, nogil=True)
def stretches(
    times: Float64, offsets: Int64, rows: Int32, found: Sorted
) -> tuple[Float64, Float64, Float64]:
    """jd, magnitude and error of the kept points of these curves, in turn."""
    total = found.in_window[rows].sum()
    jd, mag, err = np.empty(total), np.empty(total), np.empty(total)
    at = 0
    for row in rows:
        for i in range(offsets[row], offsets[row + 1]):
            if found.kept[i]:
                jd[at], mag[at], err[at] = times[i, JD], found.mag[i], found.err[i]
                at += 1
    return jd, mag, err


@numba.njit(cache=True, nogil=True)
def usable_facts(records: Int64, offsets: Int64, rows: Int32, found: Sorted) -> tuple[Int64, Int64]:
    """Usable points of these curves as integers (M, 6), known_since zeroed, and their offsets."""
    ends = np.zeros(len(rows) + 1, np.int64)
    for number, row in enumerate(rows):
        ends[number + 1] = ends[number] + found.by_band[row].sum()
    facts = np.empty((ends[-1], records.shape[1]), np.int64)
    at = 0
    for row in rows:
        for i in range(offsets[row], offsets[row + 1]):
            if found.usable[i]:
                facts[at] = records[i]
                facts[at, KNOWN_SINCE] = 0
                at += 1
    return facts, ends
