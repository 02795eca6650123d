"""Curves to score: one band, one magnitude kind, usable points only. Pure."""

from dataclasses import dataclass, field

import numpy as np

from worker.curve_hash import curve_hashes
from worker.cuts import Cuts, judge_packets, passing
from worker.light_curve import light_curves
from worker.photometry import (
    CORRECTABLE_ARCSEC,
    Curves,
    Wanted,
    columns,
    sort_out,
    stretches,
)
from worker.types.arrays import Bool, Int32, UInt8
from worker.types.light_curves import LightCurves, StoredCurves
from worker.types.packets import PacketBatch
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
    stored, parts = curves.stored, Curves(curves.offsets, curves.at, curves.band)
    wanted = Wanted(_marked(rows, len(packets)), packets.band, stellar(packets))
    found = sort_out(
        columns(stored, "<f4"), columns(stored, "u1"), parts, wanted, passing(policy.cuts)
    )
    long_enough = found.in_window[rows] >= policy.min_points
    scored = rows[long_enough].astype(np.int32)
    jd, mag, err = stretches(columns(stored, "<f8"), parts, scored, found)
    counts = found.in_window[scored]
    windows = WindowBatch(
        packet=scored,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        jd=jd,
        mag=mag,
        err=err,
        kind=_kinds(found.apparent[scored]),
        excluded=found.in_band[scored] - counts,
        curve_hash=curve_hashes(columns(stored, "<i8"), parts, scored, found),
        n_points_band=found.by_band[scored],
    )
    return windows, rows[~long_enough]


def warm_up(nothing: PacketBatch) -> None:
    """Compile, or load what was compiled, on no packets at all: a first batch must not wait."""
    rows, policy = np.empty(0, np.int32), WindowPolicy()
    judge_packets(nothing, policy.cuts)
    cut_windows(nothing, light_curves(nothing, StoredCurves(rows, {}, [])), rows, policy)


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
