"""Small hand-made packets for the decoder's tests: a schema, a record, a container around them."""

import io
import json
from typing import Any

import fastavro
import numpy as np

from worker.types.records import RecordBatch, TopicPartition

SYNC = bytes(range(16))

PHOTOMETRY = [("jd", "double"), ("fid", "int"), ("programid", "int"), ("isdiffpos", "string"),
              ("magpsf", "float"), ("sigmapsf", "float")]  # fmt: skip
POSITION = [("ra", "double"), ("dec", "double")]

CANDIDATE = {"jd": 2460000.5, "fid": 1, "programid": 1, "isdiffpos": "t", "magpsf": 18.5,
             "sigmapsf": 0.1, "ra": 10.0, "dec": -5.0}  # fmt: skip


def record_type(name: str, fields: list[Any]) -> dict[str, Any]:
    pairs = [f if isinstance(f, dict) else {"name": f[0], "type": f[1]} for f in fields]
    return {"type": "record", "name": name, "fields": pairs}


def packet_schema(*extra: Any) -> dict[str, Any]:
    """The smallest schema that is accepted, and fields behind it."""
    candidate = record_type("candidate", [*PHOTOMETRY, *POSITION])
    fields = [("objectId", "string"), ("candid", "long"), ("candidate", candidate), *extra]
    return record_type("alert", fields)


def packet(**extra: Any) -> dict[str, Any]:
    return {"objectId": "ZTF18aaaaaaa", "candid": 2**60 + 1, "candidate": CANDIDATE, **extra}


def long(value: int) -> bytes:
    """Avro's zigzag varint."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*out, rest])


def data(raw: bytes) -> bytes:
    return long(len(raw)) + raw


def container(
    schema: Any, *bodies: bytes, codec: bytes = b"null", count: int | None = None
) -> bytes:
    """A container of one block; the bodies are taken as they are."""
    text = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    head = b"Obj\x01" + long(2) + data(b"avro.codec") + data(codec)
    head += data(b"avro.schema") + data(text) + long(0) + SYNC
    block = b"".join(bodies)
    return head + long(len(bodies) if count is None else count) + data(block) + SYNC


def encode(schema: Any, record: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
    return out.getvalue()


def batch(*values: bytes) -> RecordBatch:
    partition = TopicPartition("test", 0)
    return RecordBatch(
        partitions=[partition],
        source=np.zeros(len(values), np.int32),
        offsets=np.arange(len(values)),
        timestamps_ms=np.full(len(values), -1),
        values=list(values),
        keys=[None] * len(values),
        headers=[()] * len(values),
        starts={partition: 0},
    )
