"""The stretch of a light curve that is scored."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from worker.types.arrays import Float64, Int32, Int64, UInt8


class MagnitudeKind(IntEnum):
    """What the magnitudes of a window are; the two are never mixed in one window."""

    DIFFERENCE = 0
    APPARENT = 1


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """The curves to score, one row per packet that is long enough, ragged, unpadded.

    `packet` (B,) int32: row in the PacketBatch. Points of row *i* are `offsets[i]:offsets[i+1]`
    of `jd`, `mag`, `err` (float64, one band, one magnitude kind, ascending jd). Cutting to the
    model's length, centring and padding are the model's preprocessing.
    `excluded` (B,): points of the band that couldn't be expressed in the row's kind.
    `curve_hash` (B,) int64: digest of the records that may enter a window (design: State).
    `n_points_band` (B, 3) int32: usable points in g, r, i.
    """

    packet: Int32
    offsets: Int64
    jd: Float64
    mag: Float64
    err: Float64
    kind: UInt8
    excluded: Int32
    curve_hash: Int64
    n_points_band: Int32

    def __len__(self) -> int:
        return len(self.packet)

    @property
    def n_points(self) -> Int64:
        """Points per row (B,)."""
        return np.diff(self.offsets)
