"""Bytes to columns: framing, guard, schema cache, survey mapping."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import fastavro
import numpy as np

from worker.decode.framing import Block, read_blocks, read_header
from worker.decode.rows import Row, history_rows, packet_row
from worker.decode.schema import parse_schema
from worker.errors import InvalidPacketError
from worker.types import (
    DeadLetter,
    Detections,
    ForcedPoints,
    NonDetections,
    PacketBatch,
    RecordBatch,
)

MAX_SCHEMAS = 256

SPANS = ("candidate", "cutoutScience", "cutoutTemplate", "cutoutDifference", "cdsxmatch")

_DTYPES = {"candid": np.int64, "band": np.uint8, "programid": np.uint8, "positive": np.bool_}
"""Columns that are no float64."""

_Packet = tuple[Row, tuple[list[Row], list[Row], list[Row]], bytes, bytes, tuple[int, int]]


class Decoder:
    """Turns records into columns; its only state is the cache of checked schemas.

    `single_record`: a message of a topic holds exactly one record; files may hold several.
    """

    def __init__(
        self,
        *,
        max_message_bytes: int = 2 * 1024 * 1024,
        accept_unknown_schemas: bool = True,
        single_record: bool = True,
    ) -> None:
        self._max_message_bytes = max_message_bytes
        self._accept_unknown_schemas = accept_unknown_schemas
        self._single_record = single_record
        self._schemas: dict[bytes, Any] = {}

    def decode(self, records: RecordBatch) -> tuple[PacketBatch, list[DeadLetter]]:
        """Columns of every packet, and a dead letter for every record that can't be one.

        A record of several packets is a dead letter as a whole when any of them is bad.
        """
        rows: list[int] = []
        packets: list[_Packet] = []
        dead: list[DeadLetter] = []
        for row, value in enumerate(records.values):
            try:
                found = list(self._packets(value))
            except InvalidPacketError as error:
                dead.append(DeadLetter(row, error.reason, type(error).__name__, str(error)))
                continue
            rows += [row] * len(found)
            packets += found
        return _columns(rows, packets), dead

    def _packets(self, value: bytes) -> Iterator[_Packet]:
        if len(value) > self._max_message_bytes:
            raise InvalidPacketError("too_large", f"{len(value)} bytes")
        header = read_header(value)
        schema = self._schema(header.schema)
        count = 0
        for block in read_blocks(value, header):
            count += block.count
            if self._single_record and count > 1:
                raise InvalidPacketError("multi_record", "more than one record in a message")
            yield from _read_block(block, header.schema, schema)
        if count == 0:
            raise InvalidPacketError("multi_record", "no record in a message")

    def _schema(self, text: bytes) -> Any:
        schema = self._schemas.get(text)
        if schema is None:
            if not self._accept_unknown_schemas:
                raise InvalidPacketError("schema_unknown", "this writer schema is not accepted")
            schema = parse_schema(text)
            if len(self._schemas) >= MAX_SCHEMAS:
                self._schemas.clear()
            self._schemas[text] = schema
        return schema


def _read_block(block: Block, text: bytes, schema: Any) -> Iterator[_Packet]:
    stream = io.BytesIO(block.data)
    stream.seek(block.start)
    for _ in range(block.count):
        start = stream.tell()
        try:
            record = fastavro.schemaless_reader(stream, schema, None)
        except (EOFError, IndexError, ValueError, TypeError, KeyError, UnicodeDecodeError) as error:
            reason = "truncated" if isinstance(error, EOFError) else "malformed"
            raise InvalidPacketError(reason, f"{type(error).__name__}: {error}"[:200]) from error
        if stream.tell() > block.stop:
            raise InvalidPacketError("truncated", "a record is longer than its block")
        if not isinstance(record, dict):
            raise InvalidPacketError("schema_refused", "the schema is no record")
        yield packet_row(record), history_rows(record), text, block.data, (start, stream.tell())
    if stream.tell() != block.stop:
        raise InvalidPacketError("malformed", "bytes are left over in a block")


def _columns(rows: Sequence[int], packets: Sequence[_Packet]) -> PacketBatch:
    own = [packet[0] for packet in packets]
    schemas = {text: index for index, text in enumerate(dict.fromkeys(p[2] for p in packets))}
    absent = np.full((len(packets), 2), -1, dtype=np.int64)
    return PacketBatch(
        record=np.asarray(rows, dtype=np.int32),
        schemas=list(schemas),
        schema=np.asarray([schemas[p[2]] for p in packets], dtype=np.int32),
        blocks=[packet[3] for packet in packets],
        body=np.asarray([packet[4] for packet in packets], dtype=np.int64).reshape(-1, 2),
        spans=dict.fromkeys(SPANS, absent),
        object_id=[row["object_id"] for row in own],
        **_table(PacketBatch, own),
        detections=_points(Detections, [packet[1][0] for packet in packets]),
        non_detections=_points(NonDetections, [packet[1][1] for packet in packets]),
        forced=_points(ForcedPoints, [packet[1][2] for packet in packets]),
    )


def _points(kind: Any, per_packet: Sequence[Sequence[Row]]) -> Any:
    flat = [row for rows in per_packet for row in rows]
    packet = np.repeat(np.arange(len(per_packet), dtype=np.int32), [len(r) for r in per_packet])
    return kind(packet=packet.astype(np.int32), **_table(kind, flat))


def _table(kind: Any, rows: Sequence[Row]) -> dict[str, Any]:
    """Columns of the fields of `kind` that rows hold."""
    skip = {"packet", "record", "schemas", "schema", "blocks", "body", "spans", "object_id",
            "detections", "non_detections", "forced"}  # fmt: skip
    return {
        field.name: np.asarray(
            [row[field.name] for row in rows], dtype=_DTYPES.get(field.name, np.float64)
        )
        for field in fields(kind)
        if field.name not in skip
    }
