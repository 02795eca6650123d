"""One record as fastavro decodes it to rows of a survey's tables: the kernel's rules, in Python.

For the schemas that the compiler refuses.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from worker.decode.mapping import (
    MAX_POINTS,
    MAX_STRING,
    POSITIVE,
    Column,
    Kind,
    Survey,
    Table,
)
from worker.errors import InvalidPacketError

Point = tuple[int | None, list[float]]
"""Identifier and columns; null is None or NaN."""

LARGEST_IDENTIFIER = 2**63 - 1


def object_name(record: Mapping[str, Any], survey: Survey) -> str:
    """The object's name; InvalidPacketError (schema_refused, invalid_value)."""
    name = _get(record, survey.object_id, "the packet")
    printable = isinstance(name, str) and name.isascii() and name.isprintable()
    if not printable or not 1 <= len(name) <= MAX_STRING:
        raise InvalidPacketError("invalid_value", f"{survey.object_id} is {name!r}"[:200])
    return str(name)


def packet_row(record: Mapping[str, Any], survey: Survey) -> Point:
    """The packet's own columns; InvalidPacketError (schema_refused, invalid_value)."""
    own = _get(record, survey.record, "the packet")
    if not isinstance(own, Mapping):
        raise InvalidPacketError("invalid_value", f"{survey.record} is no record")
    for column in survey.packet.columns[: survey.packet.required]:
        _get(own, column.field, survey.record)
    path = next((p for p in survey.identifiers if p[-1] in (record, own)[len(p) - 1]), None)
    if path is None:
        raise InvalidPacketError("schema_refused", "the packet has no identifier")
    identifier, row = _row((record, own)[len(path) - 1].get(path[-1]), own, survey.packet)
    if identifier is None:
        raise InvalidPacketError("invalid_value", f"{path[-1]} is null")
    return identifier, row


def history_rows(record: Mapping[str, Any], survey: Survey) -> tuple[list[Point], list[Point]]:
    """Detections and limits, which have no identifier; and forced points."""
    points: list[Point] = []
    forced: list[Point] = []
    for name in record:
        if name not in (survey.history, survey.forced_history):
            continue
        for point in _points(record[name]):
            identified = survey.point_identifier in point
            if name == survey.forced_history or (survey.forced_field in point and not identified):
                forced.append(_row(None, point, survey.forced))
            else:
                key = point.get(survey.point_identifier)
                points.append(_row(key, point, survey.detection))
    if len(points) + len(forced) > MAX_POINTS:
        raise InvalidPacketError("too_many_points", f"more than {MAX_POINTS} history points")
    return points, forced


def _points(history: Any) -> Sequence[Mapping[str, Any]]:
    points = [] if history is None else history
    if not isinstance(points, list) or not all(isinstance(p, Mapping) for p in points):
        raise InvalidPacketError("invalid_value", "a history of other things than records")
    return points


def _get(record: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in record:
        raise InvalidPacketError("schema_refused", f"{what} lacks {name}")
    return record[name]


def _row(identifier: Any, point: Mapping[str, Any], table: Table) -> Point:
    if identifier is not None and (
        not _is_whole(identifier) or not -LARGEST_IDENTIFIER <= identifier <= LARGEST_IDENTIFIER
    ):
        raise InvalidPacketError("invalid_value", f"an identifier is {identifier!r}"[:200])
    row = [_value(column, point.get(column.field)) for column in table.columns]
    required = table.required if identifier is None else table.identified
    for column, value in zip(table.columns[:required], row, strict=False):
        if math.isnan(value):
            raise InvalidPacketError("invalid_value", f"{column.field} is null")
    return identifier, row


def _value(column: Column, value: Any) -> float:
    """A number inside its range; NaN for null, NaN and the sentinel."""
    if value is None:
        return math.nan
    if column.kind is Kind.SIGN:
        number = POSITIVE.get(value, -1.0) if isinstance(value, str) else -1.0
    elif _is_whole(value) or (column.kind is Kind.NUMBER and isinstance(value, float)):
        number = float(value)
    else:
        raise InvalidPacketError("invalid_value", f"{column.field} is {value!r}"[:200])
    if math.isnan(number) or number == column.sentinel:
        return math.nan
    if not column.low <= number <= column.high:
        raise InvalidPacketError("invalid_value", f"{column.field} is {value!r}"[:200])
    return number


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
