"""Curves to score: one band, one magnitude kind, usable points only. Pure."""

from dataclasses import dataclass, field

import numpy as np

from worker.cuts import Cuts, usable_points
from worker.light_curve import curve_hashes
from worker.photometry import CORRECTABLE_ARCSEC
from worker.types.arrays import Bool, Int32, Int64, Integers, UInt8
from worker.types.light_curves import LightCurves, PointFlag
from worker.types.packets import BANDS, PacketBatch
from worker.types.windows import MagnitudeKind, WindowBatch


@dataclass(frozen=True, slots=True)
class WindowPolicy:
    """What a window may hold, and from how many points it is one."""

    cuts: Cuts = field(default_factory=Cuts)
    min_points: int = 5


def cut_windows(
    packets: PacketBatch, curves: LightCurves, rows: Int32, policy: WindowPolicy
) -> tuple[WindowBatch, Int32]:
    """The curves of these packets in their own band, and the packets that are too short.

    Apparent magnitudes when the object is stellar and at least half of its points can be
    corrected, else difference magnitudes of positive detections; the two are never mixed
    (design: Window).
    """
    owner = np.repeat(np.arange(len(packets)), np.diff(curves.offsets))
    own = curves.band == packets.band[owner]
    wanted = _marked(rows, len(packets))[owner]
    usable, apparent, apparent_err = usable_points(curves.points, wanted, own, policy.cuts)
    in_band = usable & own
    correctable = in_band & np.isfinite(apparent) & (apparent_err > 0)
    total = np.bincount(owner[in_band], minlength=len(packets))
    possible = np.bincount(owner[correctable], minlength=len(packets))
    is_apparent = stellar(packets) & (2 * possible >= total) & (possible > 0)
    points, as_apparent = curves.points, is_apparent[owner]
    positive = (points["flags"] & PointFlag.POSITIVE) > 0
    kept = np.where(as_apparent, correctable, in_band & positive & (points["sigmapsf"] > 0))
    counts = np.bincount(owner[kept], minlength=len(packets))
    long_enough = counts >= policy.min_points
    scored = rows[long_enough[rows]]
    kept &= long_enough[owner]
    as_apparent = as_apparent[kept]
    windows = WindowBatch(
        packet=scored.astype(np.int32),
        offsets=_offsets(counts[scored]),
        jd=points["jd"][kept],
        mag=np.where(as_apparent, apparent[kept], points["magpsf"][kept]),
        err=np.where(as_apparent, apparent_err[kept], points["sigmapsf"][kept]),
        kind=_kinds(is_apparent[scored]),
        excluded=(total - counts)[scored].astype(np.int32),
        curve_hash=_hashes(curves, usable, owner, scored, len(packets)),
        n_points_band=_points_per_band(curves, usable, owner, scored, len(packets)),
    )
    return windows, rows[~long_enough[rows]]


def stellar(packets: PacketBatch) -> Bool:
    """Whether the object is a star, by the packet's own fields (specification: alerts).

    Correctable, and the nearest PS1 source within 1.4 arcsec is star-like or, without such a
    source, the shape of the reference source is that of a star.
    """
    with np.errstate(invalid="ignore"):
        correctable = (packets.distnr >= 0) & (packets.distnr < CORRECTABLE_ARCSEC)
        correctable &= packets.magnr > 0
        near = (packets.distpsnr1 >= 0) & (packets.distpsnr1 < CORRECTABLE_ARCSEC)
        sharp = (packets.sharpnr > -0.13) & (packets.sharpnr < 0.1) & (packets.chinr < 2)
        return np.asarray(correctable & np.where(near, packets.sgscore1 > 0.4, sharp))


def _marked(rows: Int32, count: int) -> Bool:
    """True at these rows of `count`."""
    marked = np.zeros(count, dtype=bool)
    marked[rows] = True
    return marked


def _kinds(is_apparent: Bool) -> UInt8:
    kinds = np.where(is_apparent, MagnitudeKind.APPARENT, MagnitudeKind.DIFFERENCE)
    return kinds.astype(np.uint8)


def _offsets(counts: Integers) -> Int64:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _hashes(curves: LightCurves, usable: Bool, owner: Integers, scored: Int32, count: int) -> Int64:
    """Digest of the usable points of all bands of each scored packet."""
    index = np.flatnonzero(usable & _marked(scored, count)[owner])
    counts = np.bincount(owner[index], minlength=count)[scored]
    return curve_hashes(_offsets(counts), curves.points, index)


def _points_per_band(
    curves: LightCurves, usable: Bool, owner: Integers, scored: Int32, count: int
) -> Int32:
    cells = owner[usable] * len(BANDS) + curves.band[usable] - min(BANDS)
    table = np.bincount(cells, minlength=count * len(BANDS)).reshape(count, len(BANDS))
    return table[scored].astype(np.int32)
