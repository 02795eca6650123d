"""Avro containers assembled by hand: a constant header, one block, one record.

Four times faster than a container writer per message and equal to it byte for byte but for
the sync marker, which is constant here.
"""

import io
import json
from functools import cache
from importlib.resources import files
from typing import Any

import fastavro
import fastavro.schema

from worker.encode.columns import Cells, varint

SYNC = bytes.fromhex("616e6f6d616c792d776f726b65722f76")
ONE = varint(1)
VERSION = "1.0.0"

NAMES = ("score", "anomaly", "ledger", "ranking", "vote")
"""Released schemas, the most frequent first."""

NAMES_OF_RECORDS = {"alert": "anomaly"}
"""Where a record's name is not its schema's."""


class ContainerWriter:
    """Writes single-record containers of one schema, codec null."""

    def __init__(self, name: str) -> None:
        self.label = f"{name}/{VERSION}"
        self.schema: Any = parsed_schema(name)
        self._header = _header(name)

    def field(self, name: str) -> Any:
        """The type of a field of the record."""
        return next(field["type"] for field in self.schema["fields"] if field["name"] == name)

    def write(self, record: dict[str, Any]) -> bytes:
        """The container of one record; ValueError when it doesn't fit the schema."""
        body = io.BytesIO()
        fastavro.schemaless_writer(body, self.schema, record)
        return self.contain([body.getvalue()])[0]

    def contain(self, bodies: Cells) -> Cells:
        """The container of each encoded record."""
        return [b"".join((self._header, ONE, varint(len(b)), b, SYNC)) for b in bodies]


@cache
def schema_text(name: str) -> str:
    """The released schema (one of NAMES) as it stands on disk."""
    return (files("worker") / "schemas" / f"{name}-{VERSION}.avsc").read_text(encoding="utf-8")


def schema_json(name: str) -> dict[str, Any]:
    """The same as JSON."""
    schema: dict[str, Any] = json.loads(schema_text(name))
    return schema


@cache
def parsed_schema(name: str) -> Any:
    """The same, parsed."""
    return fastavro.schema.parse_schema(schema_json(name))


def read_container(value: bytes) -> dict[str, Any]:
    """The one record of a container that this worker wrote; ValueError when it is none.

    Records of older releases come out with the fields of this one.
    """
    try:
        for name in NAMES:
            header = _header(name)
            if value.startswith(header):
                return _read_body(name, value, len(header))
        return _read_foreign(value)
    except Exception as error:  # damaged Avro fails in many ways
        raise ValueError(f"no record of this worker: {error!r}") from error


@cache
def _header(name: str) -> bytes:
    stream = io.BytesIO()
    fastavro.writer(stream, parsed_schema(name), [], sync_marker=SYNC)
    return stream.getvalue()


def _read_body(name: str, value: bytes, start: int) -> dict[str, Any]:
    """The record behind a known header: there is no schema to parse."""
    stream = io.BytesIO(value)
    stream.seek(start)
    count, _size = (fastavro.schemaless_reader(stream, "long", None) for _ in range(2))
    record = fastavro.schemaless_reader(stream, parsed_schema(name), None)
    if count != 1 or stream.read() != SYNC or not isinstance(record, dict):
        raise ValueError("not one record")
    return record


def _read_foreign(value: bytes) -> dict[str, Any]:
    """The record of another release, or of another tool that copied ours."""
    written = fastavro.reader(io.BytesIO(value)).writer_schema
    name = written["name"].rpartition(".")[2] if isinstance(written, dict) else ""
    reader = fastavro.reader(io.BytesIO(value), parsed_schema(NAMES_OF_RECORDS.get(name, name)))
    record = next(reader)
    if not isinstance(record, dict):
        raise TypeError("the container holds no record")
    return record
