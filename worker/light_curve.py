"""Detections as stored facts: packing, merging, photometry, the curve as of a packet. Pure.

`merge_points` is the rule that the Lua script of the store carries out inside Redis.
"""

import hashlib
import math
import struct
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numba
import numpy as np
from numpy.typing import NDArray

from worker.photometry import CANDID, JD, KNOWN_SINCE, columns
from worker.types.arrays import Bool, Float64, Int32, Int64, UInt8
from worker.types.light_curves import POINT, LightCurves, PointFlag, Points
from worker.types.packets import BANDS, Detections, PacketBatch

_DOUBLE = struct.Struct("<d")

UNKNOWN_SCORE = 255
SCORE_STEPS = 250
"""rb and drb are stored in steps of 1/250."""

ASTEROID_ARCSEC = 5.0
"""A known solar-system object nearer than this sets NEAR_ASTEROID."""


def packed_points(packets: PacketBatch, rows: Int32) -> tuple[Points, UInt8, Int32]:
    """Every detection that these packets carry: points, bands, and the packet of each."""
    own = _pack(packets, rows, packets.jd[rows], packets.drb[rows], own=True)
    carried = packets.detections
    keep = np.flatnonzero(np.isin(carried.packet, rows))
    known = packets.jd[carried.packet[keep]]
    history = _pack(carried, keep, known, np.full(len(keep), np.nan), own=False)
    return (
        np.concatenate([own, history]),
        np.concatenate([packets.band[rows], carried.band[keep]]),
        np.concatenate([rows, carried.packet[keep]]).astype(np.int32),
    )


def copied_points(detections: Detections, known_since: Float64) -> Points:
    """Detections that came without their own packet: any packet's own values beat them."""
    rows = np.arange(len(known_since))
    return _pack(detections, rows, known_since, np.full(len(rows), np.nan), own=False)


def merge_points(points: Points, max_points: int) -> Points:
    """One point per candid, sorted by jd and candid, the newest `max_points` kept.

    Of several values of one candid the detection's own alert wins, then the smaller bytes;
    known_since becomes the smallest. So the result is a function of the set of points.
    """
    best: dict[int, tuple[bool, bytes, float]] = {}
    for point in points:
        facts = point.copy()
        facts["known_since"] = 0.0
        value = (not point["flags"] & PointFlag.OWN, facts.tobytes(), float(point["known_since"]))
        candid = int(point["candid"])
        old = best.get(candid, value)
        winner = min(old, value, key=lambda v: v[:2])
        best[candid] = (*winner[:2], min(old[2], value[2]))
    merged = np.frombuffer(b"".join(v[1] for v in best.values()), dtype=POINT).copy()
    merged["known_since"] = [v[2] for v in best.values()]
    order = np.lexsort((merged["candid"], merged["jd"]))
    return np.asarray(merged[order][-max_points:])


@numba.njit(nogil=True)
def _earliest(next_of: Int64, stop: Int64, records: Int64, times: Float64) -> int:
    """The band whose next point comes first, by jd, then candid; -1 behind the last one."""
    best = -1
    for band in range(len(next_of)):
        i = next_of[band]
        if i == stop[band]:
            continue
        at = next_of[best]
        sooner = best < 0 or times[i, JD] < times[at, JD]
        if sooner or (times[i, JD] == times[at, JD] and records[i, CANDID] < records[at, CANDID]):
            best = band
    return best


@numba.njit(cache=True, nogil=True)
def as_of(
    records: Int64, times: Float64, bounds: Int64, jd: Float64, candid: Int64
) -> tuple[Int64, Int64, UInt8]:
    """The curve of each packet's object as of that packet: offsets, points, bands.

    `records`, `times` (N, 6): all points as integers and as floats; `bounds` (P, bands, 2): where
    the object's points of each band lie in them, sorted by jd and candid there. Kept are the
    packet's own point and the points with jd < its jd that were known by then, merged over the
    bands by jd and candid.
    """
    total = 0
    for row in range(len(jd)):
        for band in range(bounds.shape[1]):
            total += bounds[row, band, 1] - bounds[row, band, 0]
    offsets = np.zeros(len(jd) + 1, np.int64)
    kept, fid = np.empty((total, records.shape[1]), np.int64), np.empty(total, np.uint8)
    count = 0
    for row in range(len(jd)):
        next_of, stop = bounds[row, :, 0].copy(), bounds[row, :, 1]
        band = _earliest(next_of, stop, records, times)
        while band >= 0:
            i = next_of[band]
            next_of[band] += 1
            known = times[i, JD] < jd[row] and times[i, KNOWN_SINCE] <= jd[row]
            if known or records[i, CANDID] == candid[row]:
                for column in range(records.shape[1]):
                    kept[count, column] = records[i, column]
                fid[count] = band + 1
                count += 1
            band = _earliest(next_of, stop, records, times)
        offsets[row + 1] = count
    return offsets, kept[:count], fid[:count]


def curve_hashes(facts: Int64, ends: Int64) -> Int64:
    """First 8 bytes, big-endian signed, of BLAKE2b over each curve's records.

    Curve *i* has the points `ends[i]:ends[i + 1]`, with known_since zeroed: when a point became
    known doesn't change a score.
    """
    raw = facts.data.cast("B") if len(facts) else b""  # no view of nothing can be cast
    bounds = (ends * POINT.itemsize).tolist()
    digests = [hashlib.blake2b(raw[a:b]).digest()[:8] for a, b in pairwise(bounds)]
    return np.frombuffer(b"".join(digests), dtype=">i8").astype(np.int64)


def light_curves(
    packets: PacketBatch,
    rows: Int32,
    index: Mapping[str, int],
    answers: Sequence[Sequence[bytes]],
) -> LightCurves:
    """The curve as of each packet of `rows`, from what the merge script answered per object.

    `index`: objectId to its answer; an answer holds the records of each band, the candids
    that were new there as own, and the jd of the newest own detection before (merge.lua).
    """
    pieces = [piece for answer in answers for piece in answer[: len(BANDS)]]
    lengths = np.array([len(piece) // POINT.itemsize for piece in pieces], dtype=np.int64)
    points = np.frombuffer(b"".join(pieces), dtype=POINT)
    ends = np.cumsum(lengths)
    cells = np.stack([ends - lengths, ends], axis=1).reshape(len(answers), len(BANDS), 2)
    objects = [index[packets.object_id[row]] for row in rows.tolist()]
    bounds = np.zeros((len(packets), len(BANDS), 2), dtype=np.int64)
    bounds[rows] = cells[objects]
    records, times = columns(points, "<i8"), columns(points, "<f8")
    offsets, kept, bands = as_of(records, times, bounds, packets.jd, packets.candid)
    late = _late(packets, rows, objects, answers)
    return LightCurves(offsets, kept.view(POINT).reshape(-1), bands, late)


def _late(
    packets: PacketBatch, rows: Int32, objects: Sequence[int], answers: Sequence[Sequence[bytes]]
) -> Bool:
    """Packets that were new to the state although a newer one of the object was there."""
    late = np.zeros(len(packets), dtype=bool)
    newest = [_DOUBLE.unpack(a[-1])[0] if a[-1] else -math.inf for a in answers]
    added = [a[-2] for a in answers]
    columns = (rows.tolist(), objects, packets.jd[rows].tolist(), packets.candid[rows].tolist())
    for row, number, jd, candid in zip(*columns, strict=True):
        if newest[number] > jd:
            late[row] = candid in np.frombuffer(added[number], "<i8")
        else:
            newest[number] = jd
    return late


def stored_score(value: Float64) -> UInt8:
    """A real-bogus score in steps of 1/250; 255 where it is unknown."""
    with np.errstate(invalid="ignore"):
        steps = np.clip(np.rint(value * SCORE_STEPS), 0, SCORE_STEPS)
    return np.where(np.isnan(value), UNKNOWN_SCORE, steps).astype(np.uint8)


def _pack(
    table: PacketBatch | Detections, rows: NDArray[np.integer], known: Float64, drb: Float64,
    *, own: bool,
) -> Points:  # fmt: skip
    points = np.zeros(len(rows), dtype=POINT)
    points["candid"] = table.candid[rows]
    points["jd"] = table.jd[rows]
    points["known_since"] = known
    points["magpsf"] = np.round(table.magpsf[rows], 4)
    points["sigmapsf"] = _six_digits(table.sigmapsf[rows])
    points["magnr"] = table.magnr[rows]
    points["sigmagnr"] = _six_digits(table.sigmagnr[rows])
    points["distnr"] = _six_digits(table.distnr[rows])
    for name in ("magnr", "sigmagnr", "distnr"):
        # One bit pattern for null, so that equal facts are equal bytes.
        points[name][np.isnan(points[name])] = np.nan
    points["rb"] = stored_score(table.rb[rows])
    points["drb"] = stored_score(drb)
    points["programid"] = table.programid[rows]
    near = (table.ssdistnr[rows] >= 0) & (table.ssdistnr[rows] < ASTEROID_ARCSEC)
    points["flags"] = (
        PointFlag.POSITIVE * table.positive[rows]
        + PointFlag.OWN * own
        + PointFlag.NEAR_ASTEROID * near
    )
    return points


def _six_digits(value: Float64) -> Float64:
    """Six significant digits, as in ZTF's history copies."""
    with np.errstate(divide="ignore", invalid="ignore"):
        power = 5 - np.floor(np.log10(np.abs(value)))
        scale = 10.0 ** np.where(np.isfinite(power), power, 0)
        return np.asarray(np.rint(value * scale) / scale)
