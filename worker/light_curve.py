"""Detections as stored facts: packing, merging, photometry, the curve as of a packet. Pure.

`merge_points` is the rule that the Lua script of the store carries out inside Redis.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from worker.types import (
    BANDS,
    POINT,
    Bool,
    Detections,
    Float64,
    Int32,
    Int64,
    LightCurves,
    PacketBatch,
    PointFlag,
    UInt8,
)

Points = NDArray[np.void]

UNKNOWN_SCORE = 255
SCORE_STEPS = 250
"""rb and drb are stored in steps of 1/250."""

ASTEROID_ARCSEC = 5.0
"""A known solar-system object nearer than this sets NEAR_ASTEROID."""

CORRECTABLE_ARCSEC = 1.4
"""A reference source nearer than this is the same source (specification: alerts, section 2)."""


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


def as_of(
    points: Points, band: UInt8, starts: Int64, stops: Int64, jd: Float64, candid: Int64
) -> tuple[Int64, Points, UInt8]:
    """The curve of each packet's object as of that packet: offsets, points, bands.

    Row *i*'s object has `points[starts[i]:stops[i]]`, sorted by jd and candid. Kept are the
    packet's own point and the points with jd < its jd that were known by then.
    """
    lengths = stops - starts
    row = np.repeat(np.arange(len(starts)), lengths)
    first = np.cumsum(lengths) - lengths
    index = np.arange(int(lengths.sum())) - np.repeat(first - starts, lengths)
    seen = points[index]
    keep = (seen["jd"] < jd[row]) & (seen["known_since"] <= jd[row])
    keep |= seen["candid"] == candid[row]
    counts = np.bincount(row[keep], minlength=len(starts))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return offsets, seen[keep], band[index[keep]]


def curve_hashes(offsets: Int64, points: Points) -> Int64:
    """First 8 bytes, big-endian signed, of BLAKE2b over each row's records.

    `known_since` counts as zero: when a point became known doesn't change a score.
    """
    facts = points.copy()
    facts["known_since"] = 0.0
    raw = facts.tobytes()
    size = POINT.itemsize
    digests = [
        hashlib.blake2b(raw[start * size : stop * size], digest_size=64).digest()[:8]
        for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ]
    return np.frombuffer(b"".join(digests), dtype=">i8").astype(np.int64)


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
    with np.errstate(invalid="ignore", divide="ignore"):
        a = 10 ** (-0.4 * magnr)
        b = 10 ** (-0.4 * magpsf)
        total = a + np.where(positive, b, -b)
        usable = (distnr >= 0) & (distnr < CORRECTABLE_ARCSEC) & (magnr > 0) & (total > 0)
        total = np.where(usable, total, np.nan)
        variance = (b * sigmapsf) ** 2 - (a * sigmagnr) ** 2
        noise = np.where(variance > 0, np.sqrt(np.abs(variance)), b * sigmapsf)
        return -2.5 * np.log10(total), noise / total


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
    cell = np.repeat(np.arange(len(pieces)), lengths)
    owner, band = cell // len(BANDS), (cell % len(BANDS) + min(BANDS)).astype(np.uint8)
    order = np.lexsort((points["candid"], points["jd"], owner))
    bounds = np.searchsorted(owner, np.arange(len(answers) + 1))
    starts, stops = np.zeros(len(packets), np.int64), np.zeros(len(packets), np.int64)
    objects = [index[packets.object_id[row]] for row in rows.tolist()]
    starts[rows], stops[rows] = bounds[objects], bounds[np.array(objects, dtype=np.int64) + 1]
    offsets, seen, bands = as_of(
        points[order], band[order], starts, stops, packets.jd, packets.candid
    )
    return LightCurves(offsets, seen, bands, _late(packets, rows, objects, answers))


def _late(
    packets: PacketBatch, rows: Int32, objects: Sequence[int], answers: Sequence[Sequence[bytes]]
) -> Bool:
    """Packets that were new to the state although a newer one of the object was there."""
    late = np.zeros(len(packets), dtype=bool)
    newest = [float(np.frombuffer(a[-1], "<f8")[0]) if a[-1] else -np.inf for a in answers]
    added = [set(np.frombuffer(a[-2], "<i8").tolist()) for a in answers]
    for row, number in zip(rows.tolist(), objects, strict=True):
        jd = float(packets.jd[row])
        late[row] = int(packets.candid[row]) in added[number] and newest[number] > jd
        newest[number] = max(newest[number], jd)
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
