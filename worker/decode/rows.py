"""One decoded Avro record to rows of columns: null rules, ranges, kinds of history points."""

import math
from collections.abc import Mapping
from typing import Any

from worker.decode.mapping import (
    DETECTION,
    FAILED_FIT,
    MAX_POINTS,
    MAX_STRING,
    OPTIONAL,
    POSITIVE,
    RANGES,
    REQUIRED,
    SENTINEL,
)
from worker.errors import InvalidPacketError
from worker.types import BANDS

NAN = math.nan
INT64 = 2**63

Row = dict[str, Any]


def packet_row(record: Mapping[str, Any]) -> Row:
    """The packet's own columns; InvalidPacketError (schema_refused, invalid_value)."""
    candidate = record.get("candidate")
    if not isinstance(candidate, Mapping):
        raise InvalidPacketError("schema_refused", "no record `candidate`")
    missing = [name for name in REQUIRED if name not in candidate]
    if missing or "objectId" not in record:
        raise InvalidPacketError("schema_refused", f"missing {', '.join(missing) or 'objectId'}")
    # Some re-encodings keep candid inside candidate only.
    candid = record.get("candid", candidate.get("candid"))
    return {
        "object_id": _object_id(record["objectId"]),
        "candid": integer("candid", candid, -INT64, INT64 - 1),
        **_photometry(candidate),
        "ra": required("ra", candidate["ra"]),
        "dec": required("dec", candidate["dec"]),
        **{name: optional(name, candidate.get(name), s) for name, s in OPTIONAL.items()},
    }


def history_rows(record: Mapping[str, Any]) -> tuple[list[Row], list[Row], list[Row]]:
    """Detections, non-detections and forced points of a packet's history."""
    history = record.get("prv_candidates") or ()
    forced_history = record.get("fp_hists") or ()
    if len(history) + len(forced_history) > MAX_POINTS:
        raise InvalidPacketError("too_many_points", f"more than {MAX_POINTS} history points")
    detections, non_detections = [], []
    forced = [_forced(point) for point in forced_history]
    for point in history:
        if "forcediffimflux" in point and "candid" not in point:
            forced.append(_forced(point))  # schema 3.5: forced photometry under the old name
        elif point.get("candid") is not None:
            detections.append(_detection(point))
        else:
            non_detections.append(_non_detection(point))
    return detections, non_detections, forced


def _detection(point: Mapping[str, Any]) -> Row:
    return {
        "candid": integer("candid", point["candid"], -INT64, INT64 - 1),
        **_photometry(point),
        **{name: optional(name, point.get(name), s) for name, s in DETECTION.items()},
    }


def _photometry(point: Mapping[str, Any]) -> Row:
    return {
        **_epoch(point),
        "positive": _positive(point.get("isdiffpos")),
        "magpsf": required("magpsf", point.get("magpsf")),
        "sigmapsf": required("sigmapsf", point.get("sigmapsf")),
    }


def _non_detection(point: Mapping[str, Any]) -> Row:
    limit = optional("diffmaglim", point.get("diffmaglim"), sentinel=True)
    return {**_epoch(point), "diffmaglim": limit}


def _forced(point: Mapping[str, Any]) -> Row:
    flux = optional("forcediffimflux", point.get("forcediffimflux"), sentinel=False)
    error = optional("forcediffimfluxunc", point.get("forcediffimfluxunc"), sentinel=False)
    return {
        **_epoch(point),
        "flux": NAN if flux == FAILED_FIT else flux,
        "flux_err": NAN if error == FAILED_FIT else error,
        "magzpsci": optional("magzpsci", point.get("magzpsci"), sentinel=True),
        "diffmaglim": optional("diffmaglim", point.get("diffmaglim"), sentinel=True),
    }


def _epoch(point: Mapping[str, Any]) -> Row:
    return {
        "jd": required("jd", point.get("jd")),
        "band": integer("fid", point.get("fid"), min(BANDS), max(BANDS)),
        "programid": integer("programid", point.get("programid"), 0, 255),
    }


def required(name: str, value: Any) -> float:
    """A finite number inside its range."""
    low, high = RANGES[name]
    if not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidPacketError("invalid_value", f"{name} is {value!r}"[:200])
    return float(value)


def optional(name: str, value: Any, sentinel: bool) -> float:  # noqa: FBT001 - from the table
    """A number, NaN where it is null, NaN or the sentinel; infinities are refused."""
    if value is None or (sentinel and value == SENTINEL):
        return NAN
    if not isinstance(value, int | float) or math.isinf(value):
        raise InvalidPacketError("invalid_value", f"{name} is {value!r}"[:200])
    return float(value)


def integer(name: str, value: Any, low: int, high: int) -> int:
    """A whole number inside its range."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidPacketError("invalid_value", f"{name} is {value!r}"[:200])
    return value


def _positive(value: Any) -> bool:
    if value not in POSITIVE:
        raise InvalidPacketError("invalid_value", f"isdiffpos is {value!r}"[:200])
    return POSITIVE[value]


def _object_id(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_STRING or not value.isprintable():
        raise InvalidPacketError("invalid_value", f"objectId is {value!r}"[:200])
    return value
