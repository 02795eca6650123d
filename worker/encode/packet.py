"""What an alert carries over from its packet: candidate, history, stamps."""

import io
import math
from collections.abc import Mapping
from typing import Any

import fastavro
import numpy as np

from worker.decode.schema import parse_schema
from worker.types import BANDS, Bool, LightCurves, PacketBatch, PointFlag

Fields = dict[str, Any]

MAGNITUDE_ERROR = 1.0857362047581296
"""2.5 / ln 10: a magnitude's error is this times the flux's relative error."""

CUTOUTS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")

NEUTRAL: Mapping[str, Any] = {"string": "", "int": -999, "long": -999, "double": -999.0}
"""Stands for a field that older packets lack and the output schema doesn't let be null."""


class PacketReader:
    """Decodes whole packets, of the few that are emitted; keeps parsed schemas."""

    def __init__(self) -> None:
        self._schemas: dict[bytes, Any] = {}

    def read(self, packets: PacketBatch, row: int) -> Fields:
        """Every field of a packet that the decoder has accepted before."""
        text = packets.schemas[packets.schema[row]]
        if text not in self._schemas:
            self._schemas[text] = parse_schema(text)
        start, stop = packets.body[row].tolist()
        stream = io.BytesIO(packets.blocks[row][start:stop])
        record = fastavro.schemaless_reader(stream, self._schemas[text], None)
        if not isinstance(record, dict):
            raise TypeError("a packet is a record")
        return record


def flux(magnitude: float, positive: bool = True) -> float:  # noqa: FBT001, FBT002 - a sign
    """BOOM's convention: 1e9 * 10^(-0.4 (m - 23.9)), signed."""
    value = 1e9 * 10 ** (-0.4 * (magnitude - 23.9))
    return value if positive else -value


def candidate(schema: Any, record: Fields, packets: PacketBatch, row: int) -> Fields:
    """The candidate in the output's layout; missing fields are null or neutral."""
    source = record["candidate"]
    result: Fields = {}
    for field in schema["fields"]:
        value = source.get(field["name"])
        if isinstance(value, float) and math.isnan(value):
            value = None
        if value is None and not isinstance(field["type"], list):
            value = NEUTRAL[field["type"]]
        result[field["name"]] = value
    magpsf, positive = float(packets.magpsf[row]), bool(packets.positive[row])
    result["candid"] = int(packets.candid[row])
    result["isdiffpos"] = str(source["isdiffpos"])
    result["psfFlux"] = flux(magpsf, positive)
    result["psfFluxErr"] = flux(magpsf) * float(packets.sigmapsf[row]) / MAGNITUDE_ERROR
    result["band"] = BANDS[int(packets.band[row])]
    return result


def detections(
    packets: PacketBatch, curves: LightCurves, row: int, programids: frozenset[int]
) -> list[Fields]:
    """The object's points as of this packet, listed programs only, by jd."""
    carried = _carried(packets, row)
    points = curves.points[curves.offsets[row] : curves.offsets[row + 1]]
    bands = curves.band[curves.offsets[row] : curves.offsets[row + 1]]
    result = []
    for point, fid in zip(points.tolist(), bands.tolist(), strict=True):
        candid, jd, _, magpsf, sigmapsf, *_, programid, flags = point
        if programid not in programids:
            continue
        positive = bool(flags & PointFlag.POSITIVE)
        result.append(
            {
                **_epoch(jd, fid, programid),
                "candid": candid,
                "magpsf": magpsf,
                "sigmapsf": sigmapsf,
                "isdiffpos": "t" if positive else "f",
                "psfFlux": flux(magpsf, positive),
                "psfFluxErr": flux(magpsf) * sigmapsf / MAGNITUDE_ERROR,
                **carried.get(candid, {"ra": None, "dec": None, "diffmaglim": None}),
            }
        )
    return result


def non_detections(packets: PacketBatch, row: int, programids: frozenset[int]) -> list[Fields]:
    """The packet's upper limits, listed programs only."""
    table = packets.non_detections
    limits = table.diffmaglim
    return [
        {
            **_epoch(float(table.jd[i]), int(table.band[i]), int(table.programid[i])),
            "diffmaglim": number(limits[i]),
            "psfFluxErr": None if math.isnan(limits[i]) else flux(float(limits[i])) / 5,
        }
        for i in _rows(table.packet == row, table.programid, programids)
    ]


def forced_points(packets: PacketBatch, row: int, programids: frozenset[int]) -> list[Fields]:
    """The packet's forced photometry, listed programs only."""
    table = packets.forced
    return [
        {
            **_epoch(float(table.jd[i]), int(table.band[i]), int(table.programid[i])),
            "flux": number(table.flux[i]),
            "flux_err": number(table.flux_err[i]),
            "magzpsci": number(table.magzpsci[i]),
            "psfFlux": number(table.flux[i] * flux(float(table.magzpsci[i]))),
            "psfFluxErr": number(table.flux_err[i] * flux(float(table.magzpsci[i]))),
        }
        for i in _rows(table.packet == row, table.programid, programids)
    ]


def cutouts(record: Fields, form: str) -> Fields:
    """The stamps as received: none, the bytes alone, or with their file names."""
    result: Fields = {}
    for name in CUTOUTS:
        stamp = record.get(name)
        if form == "none" or not isinstance(stamp, dict):
            result[name] = None
        else:
            result[name] = stamp if form == "struct" else stamp["stampData"]
    return result


def number(value: Any) -> float | None:
    """A float, None for NaN."""
    return None if math.isnan(value) else float(value)


def _epoch(jd: float, fid: int, programid: int) -> Fields:
    return {"jd": jd, "fid": fid, "band": BANDS[fid], "programid": programid}


def _carried(packets: PacketBatch, row: int) -> dict[int, Fields]:
    """Position and limit of the detections that the packet itself carries."""
    table = packets.detections
    found = {
        int(table.candid[i]): {
            "ra": number(table.ra[i]),
            "dec": number(table.dec[i]),
            "diffmaglim": number(table.diffmaglim[i]),
        }
        for i in np.flatnonzero(table.packet == row).tolist()
    }
    found[int(packets.candid[row])] = {
        "ra": float(packets.ra[row]),
        "dec": float(packets.dec[row]),
        "diffmaglim": number(packets.diffmaglim[row]),
    }
    return found


def _rows(mine: Bool, programid: Any, programids: frozenset[int]) -> list[int]:
    listed = np.isin(programid, list(programids))
    return [int(row) for row in np.flatnonzero(mine & listed)]
