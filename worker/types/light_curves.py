"""Stored detections, and light curves made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from worker.types.arrays import Bool, Int32, Int64, UInt8

POINT = np.dtype(
    [
        ("candid", "<i8"),
        ("jd", "<f8"),
        ("known_since", "<f8"),
        ("magpsf", "<f4"),
        ("sigmapsf", "<f4"),
        ("magnr", "<f4"),
        ("sigmagnr", "<f4"),
        ("distnr", "<f4"),
        ("rb", "u1"),
        ("drb", "u1"),
        ("programid", "u1"),
        ("flags", "u1"),
    ]
)
"""One stored detection: 48 bytes, little-endian, raw facts only (design: State). The layout
is versioned by LAYOUT_VERSION; rb and drb are in 1/250, 255 = unknown; the band is the key's."""

LAYOUT_VERSION = 1

Points = NDArray[np.void]
"""An array of POINT."""


MAX_POINTS = 512
"""Newest points per band that a curve holds (design: State)."""


class PointFlag(IntEnum):
    """Bits of POINT.flags."""

    POSITIVE = 1  # the difference is positive
    OWN = 2  # values come from the detection's own alert, not from a history copy
    NEAR_ASTEROID = 4  # a known solar-system object within 5 arcsec


@dataclass(frozen=True, slots=True)
class StoredCurves:
    """What the state holds of the objects of some packets, as it was read.

    `rows` (R,): the packets; `index`: objectId to its number; `pieces`: the records of each
    object and band, in turn, of which the newest `max_points` count; `added`: per object the
    candids (8 bytes each) whose own values were new to the state, or nothing of all objects.
    """

    rows: Int32
    index: Mapping[str, int]
    pieces: Sequence[bytes]
    added: Sequence[bytes] = ()
    max_points: int = MAX_POINTS


@dataclass(frozen=True, slots=True)
class LightCurves:
    """The light curve of each packet's object as of that packet, all bands, ragged.

    Points of packet *i* are rows `offsets[i]:offsets[i + 1]` of `at` (place in `stored`, POINT)
    and `band`, by jd, then candid, its own point included. `late` (P,): this packet was new to
    the state although a newer packet of the object had been merged before its curve was read.
    """

    offsets: Int64
    stored: Points
    at: Int32
    band: UInt8
    late: Bool

    @property
    def points(self) -> Points:
        """The points of all curves, in turn (POINT): a copy."""
        return np.take(self.stored, self.at)
