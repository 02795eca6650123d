"""Detections as stored facts: packing, merging, photometry, the curve as of a packet. Pure.

`merge_points` is the rule that the Lua script of the store carries out inside Redis.
"""

from collections.abc import Sequence
from dataclasses import replace

import numba
import numpy as np
from numpy.typing import NDArray

from worker.photometry import CANDID, FLAGS, JD, KNOWN_SINCE, OWN, columns
from worker.types.arrays import Bool, Float64, Int32, Int64, UInt8
from worker.types.light_curves import POINT, LightCurves, PointFlag, Points, StoredCurves
from worker.types.packets import BANDS, Detections, PacketBatch

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
def _woven(records: Int64, times: Float64, left: Int32, right: Int32, out: Int32) -> None:
    """Two lists of places, each sorted by jd and candid, as one.

    Steps by arithmetic: which list is next can't be guessed, and a branch would be.
    """
    a = b = 0
    while a < len(left) and b < len(right):
        i, j = left[a], right[b]
        second = times[j, JD] < times[i, JD]
        if times[j, JD] == times[i, JD]:
            second = records[j, CANDID] < records[i, CANDID]
        out[a + b] = j if second else i
        step = int(second)
        a, b = a + 1 - step, b + step
    out[a + b : b + len(left)] = left[a:]
    out[len(left) + b :] = right[b:]


@numba.njit(cache=True, nogil=True)
def as_of(
    records: Int64, times: Float64, bounds: Int64, jd: Float64, candid: Int64
) -> tuple[Int64, Int32, UInt8]:
    """The curve of each packet's object as of that packet: offsets, places of points, bands.

    `records`, `times` (N, 6): all points as integers and as floats; `bounds` (P, bands, 2): where
    the object's points of each band lie in them, sorted by jd and candid there. Kept are the
    packet's own point and the points with jd < its jd that were known by then, merged over the
    bands by jd and candid.
    """
    total = (bounds[:, :, 1] - bounds[:, :, 0]).sum()
    offsets = np.zeros(len(jd) + 1, np.int64)
    kept, fid = np.empty(total + 1, np.int32), np.empty(total, np.uint8)
    before = np.empty(total, np.int32)
    count = 0
    for row in range(len(jd)):
        start = count
        for band in range(bounds.shape[1]):
            first = count
            for i in range(bounds[row, band, 0], bounds[row, band, 1]):
                kept[count] = i  # one place behind the end at most
                known = (times[i, JD] < jd[row]) & (times[i, KNOWN_SINCE] <= jd[row])
                count += known | (records[i, CANDID] == candid[row])
            if start < first < count:
                earlier = before[: first - start]
                earlier[:] = kept[start:first]
                later = kept[first:count].copy()
                _woven(records, times, earlier, later, kept[start:count])
        curve, names = kept[start:count], fid[start:count]  # from 0 on: this is vectorised
        for band in range(bounds.shape[1]):
            low, high = np.int32(bounds[row, band, 0]), np.int32(bounds[row, band, 1])
            for n in range(len(curve)):
                if (low <= curve[n]) & (curve[n] < high):
                    names[n] = np.uint8(band + 1)
        offsets[row + 1] = count
    return offsets, kept[:count], fid[:count]


@numba.njit(cache=True, nogil=True)
def broken(records: Int64, times: Float64, bounds: Int64) -> Bool:
    """Stretches (S, 2) that are not sorted by jd and candid, or hold a candid twice."""
    found = np.zeros(len(bounds), np.bool_)
    for cell in range(len(bounds)):
        part = slice(bounds[cell, 0], bounds[cell, 1])
        candids, jds = records[part, CANDID], times[part, JD]
        ascending = True
        for i in range(1, len(jds)):
            rises = candids[i] > candids[i - 1]
            ascending &= rises
            found[cell] |= (jds[i] < jds[i - 1]) | ((jds[i] == jds[i - 1]) & (not rises))
        if not ascending:
            in_turn = np.sort(candids)
            found[cell] |= np.any(in_turn[1:] == in_turn[:-1])
    return found


@numba.njit(cache=True, nogil=True)
def newest_own(
    records: Int64, times: Float64, octets: UInt8, bounds: Int64, added: Int64, ends: Int64
) -> Float64:
    """The newest own detection's jd in each object's bands, those `added` left out; else -inf.

    `bounds` (O, bands, 2); `added`: candids, of object *i* in `ends[i]:ends[i + 1]`.
    """
    newest = np.full(len(bounds), -np.inf)
    for row in range(len(bounds)):
        new = added[ends[row] : ends[row + 1]]
        for band in range(bounds.shape[1]):
            for i in range(bounds[row, band, 1] - 1, bounds[row, band, 0] - 1, -1):
                if octets[i, FLAGS] & OWN and not np.any(new == records[i, CANDID]):
                    newest[row] = max(newest[row], times[i, JD])
                    break
    return newest


def light_curves(packets: PacketBatch, stored: StoredCurves) -> LightCurves:
    """The curve of each packet's object as of that packet; of other packets an empty one.

    Where the script could not see that a candid was there already (merge.lua), the records are
    merged here.
    """
    points, bounds = _joined(stored.pieces)
    records, times = columns(points, "<i8"), columns(points, "<f8")
    bad = np.flatnonzero(broken(records, times, bounds)).tolist()
    if bad:
        pieces = list(stored.pieces)
        for cell in bad:
            mended = merge_points(points[slice(*bounds[cell])], stored.max_points)
            pieces[cell] = mended.tobytes()
        return light_curves(packets, replace(stored, pieces=pieces))
    bounds[:, 0] = np.maximum(bounds[:, 0], bounds[:, 1] - stored.max_points)
    cells = bounds.reshape(len(stored.index), len(BANDS), 2)
    objects = [stored.index[packets.object_id[row]] for row in stored.rows.tolist()]
    of_packets = np.zeros((len(packets), len(BANDS), 2), dtype=np.int64)
    of_packets[stored.rows] = cells[objects]
    offsets, at, bands = as_of(records, times, of_packets, packets.jd, packets.candid)
    new = np.frombuffer(b"".join(stored.added), "<i8")
    added = stored.added or [b""] * len(stored.index)
    ends = np.cumsum([0, *(len(candids) // new.itemsize for candids in added)])
    newest = newest_own(records, times, columns(points, "u1"), cells, new, ends)
    late = _late(packets, stored.rows, objects, newest, new)
    return LightCurves(offsets, points, at, bands, late)


def _joined(pieces: Sequence[bytes]) -> tuple[Points, Int64]:
    """All records, and where each piece lies in them (S, 2)."""
    lengths = np.array([len(piece) for piece in pieces], dtype=np.int64) // POINT.itemsize
    ends = np.cumsum(lengths)
    return np.frombuffer(b"".join(pieces), dtype=POINT), np.stack([ends - lengths, ends], axis=1)


def _late(
    packets: PacketBatch, rows: Int32, objects: Sequence[int], newest: Float64, added: Int64
) -> Bool:
    """Packets that were new to the state although a newer one of the object was there."""
    late = np.zeros(len(packets), dtype=bool)
    new = set(added.tolist())
    times = newest.tolist()
    columns = (rows.tolist(), objects, packets.jd[rows].tolist(), packets.candid[rows].tolist())
    for row, number, jd, candid in zip(*columns, strict=True):
        late[row] = times[number] > jd and candid in new
        times[number] = max(times[number], jd)
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
