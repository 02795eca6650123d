"""The light curve that an alert carries: points as of the packet, limits, forced photometry."""

import numpy as np

from worker.encode.columns import VALUE, Cells, choices, string, varint
from worker.encode.tables import Table, arrays, doubles, longs, nullable_doubles, present
from worker.encode.tables import choices as choice_table
from worker.types.arrays import Bool, Float64, Int64, Integers, UInt8
from worker.types.light_curves import LightCurves, PointFlag
from worker.types.packets import BANDS, ForcedPoints, NonDetections, PacketBatch

MAGNITUDE_ERROR = 1.0857362047581296
"""2.5 / ln 10: a magnitude's error is this times the flux's relative error."""

SIGNS = (string("f"), string("t"))
"""isdiffpos, by whether the difference is positive."""

_SMALL_LONGS = [varint(number) for number in range(256)]
_BAND_CELLS = [string(BANDS.get(fid, "")) for fid in range(max(BANDS) + 1)]


def flux(magnitude: Float64) -> Float64:
    """BOOM's convention: 1e9 * 10^(-0.4 (m - 23.9)); infinite for limits that are nonsense."""
    with np.errstate(over="ignore"):
        return np.asarray(1e9 * 10 ** (-0.4 * (magnitude - 23.9)))


def signed(value: Float64, positive: Bool) -> Float64:
    """The flux with the sign of the difference."""
    return np.where(positive, value, -value)


def bands(fid: UInt8) -> Cells:
    """Names of bands."""
    return choices(fid, _BAND_CELLS)


def detections(
    schema: object, packets: PacketBatch, curves: LightCurves, rows: Integers, listed: Bool
) -> Cells:
    """Per packet its object's points as of it, by jd, those of listed programs only."""
    counts = np.diff(curves.offsets)[rows]
    owner = np.repeat(np.arange(len(rows)), counts)
    index = np.arange(len(owner)) + (curves.offsets[rows] - (np.cumsum(counts) - counts))[owner]
    points = np.take(curves.stored, curves.at[index])
    keep = listed[points["programid"]]
    points, index, owner = points[keep], index[keep], owner[keep]
    positive = (points["flags"] & PointFlag.POSITIVE) > 0
    magpsf, sigmapsf = points["magpsf"].astype(np.float64), points["sigmapsf"].astype(np.float64)
    brightness = flux(magpsf)
    ra, dec, limit = _carried(packets, rows[owner], points["candid"], rows)
    columns = {
        **_epoch(points["jd"], curves.band[index], points["programid"]),
        "candid": present(longs(points["candid"])),
        "magpsf": doubles(magpsf),
        "sigmapsf": doubles(sigmapsf),
        "isdiffpos": present(choice_table(positive.astype(np.int64), SIGNS)),
        "psfFlux": doubles(signed(brightness, positive)),
        "psfFluxErr": doubles(brightness * sigmapsf / MAGNITUDE_ERROR),
        "ra": nullable_doubles(ra),
        "dec": nullable_doubles(dec),
        "diffmaglim": nullable_doubles(limit),
    }
    return arrays(schema, columns, _offsets(owner, len(rows)), VALUE)


def non_detections(schema: object, table: NonDetections, rows: Integers, listed: Bool) -> Cells:
    """Per packet its upper limits, those of listed programs only."""
    index, offsets = _of_packets(table.packet, table.programid, rows, listed)
    limit = table.diffmaglim[index]
    columns = {
        **_epoch(table.jd[index], table.band[index], table.programid[index]),
        "diffmaglim": nullable_doubles(limit),
        "psfFluxErr": nullable_doubles(flux(limit) / 5),
    }
    return arrays(schema, columns, offsets, VALUE)


def forced_points(schema: object, table: ForcedPoints, rows: Integers, listed: Bool) -> Cells:
    """Per packet its forced photometry, that of listed programs only."""
    index, offsets = _of_packets(table.packet, table.programid, rows, listed)
    zero = table.magzpsci[index]
    columns = {
        **_epoch(table.jd[index], table.band[index], table.programid[index]),
        "flux": nullable_doubles(table.flux[index]),
        "flux_err": nullable_doubles(table.flux_err[index]),
        "magzpsci": nullable_doubles(zero),
        "psfFlux": nullable_doubles(table.flux[index] * flux(zero)),
        "psfFluxErr": nullable_doubles(table.flux_err[index] * flux(zero)),
    }
    return arrays(schema, columns, offsets, VALUE)


def _epoch(jd: Float64, fid: UInt8, programid: UInt8) -> dict[str, Table]:
    return {
        "jd": doubles(jd),
        "fid": choice_table(fid, _SMALL_LONGS),
        "band": choice_table(fid, _BAND_CELLS),
        "programid": choice_table(programid, _SMALL_LONGS),
    }


def _of_packets(
    packet: Integers, programid: UInt8, rows: Integers, listed: Bool
) -> tuple[Int64, Int64]:
    """Points of these packets (ascending) and the offsets of each packet's in them."""
    index = np.flatnonzero(np.isin(packet, rows) & listed[programid])
    return index, _offsets(np.searchsorted(rows, packet[index]), len(rows))


def _offsets(owner: Integers, count: int) -> Int64:
    return np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=count))]).astype(np.int64)


def _carried(
    packets: PacketBatch, packet: Integers, candid: Integers, rows: Integers
) -> tuple[Float64, Float64, Float64]:
    """Position and limit of the points that the packets themselves carry, NaN for others."""
    table = packets.detections
    mine = np.flatnonzero(np.isin(table.packet, rows))
    owners = np.concatenate([table.packet[mine], rows])
    candids = np.concatenate([table.candid[mine], packets.candid[rows]])
    # The packet's own entry comes last and so wins.
    keys = zip(owners.tolist(), candids.tolist(), strict=True)
    place = {key: number for number, key in enumerate(keys)}
    found = np.full(len(candid), -1)
    likely = np.flatnonzero(np.isin(candid, candids))
    wanted = zip(packet[likely].tolist(), candid[likely].tolist(), strict=True)
    found[likely] = [place.get(key, -1) for key in wanted]
    ra, dec, limit = (
        np.concatenate([getattr(table, name)[mine], getattr(packets, name)[rows], [np.nan]])[found]
        for name in ("ra", "dec", "diffmaglim")
    )
    return ra, dec, limit
