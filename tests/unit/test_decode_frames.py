"""Confluent's frame: the schema is looked up by number."""

import io
import json
from pathlib import Path

import fastavro
import numpy as np
import pytest

from tests.avro_packets import batch, container, encode, packet, packet_schema, record_type
from worker.decode import Decoder
from worker.decode.framing import unframe
from worker.decode.library import addresses_of
from worker.decode.mapping import MAX_VALUES
from worker.decode.ops import LEVEL_CELLS, walk
from worker.decode.program import Program
from worker.decode.schema import parse_schema
from worker.errors import InvalidPacketError

SHARED = Path("../shared/data")
FRAMED = sorted((SHARED / "alerts" / "lsst").glob("*/*.msg"))


class Registry:
    """Schemas by number; counts what it is asked."""

    def __init__(self, schemas):
        self.schemas = schemas
        self.asked = []

    def schema(self, schema_id):
        self.asked.append(schema_id)
        if schema_id not in self.schemas:
            raise InvalidPacketError("schema_unknown", f"no schema {schema_id}")
        return self.schemas[schema_id]


def rubin():
    """Rubin's schemas under their numbers: 100 major + minor."""
    schemas = {}
    for path in (SHARED / "schemas").glob("lsst_v*.avsc"):
        major, minor = path.stem.removeprefix("lsst_v").split("_")
        schemas[100 * int(major) + int(minor)] = path.read_bytes()
    return Registry(schemas)


def framed(number, body):
    return b"\x00" + number.to_bytes(4, "big") + body


SCHEMA, BODY = packet_schema(), encode(packet_schema(), packet())


def test_a_framed_packet_equals_the_same_packet_in_a_container():
    registry = Registry({7: json.dumps(SCHEMA).encode()})
    decoder = Decoder(lookup=registry)
    values = [framed(7, BODY), container(SCHEMA, BODY), framed(7, BODY)]
    packets, dead = decoder.decode(batch(*values))
    assert dead == []
    assert packets.candid.tolist() == [2**60 + 1] * 3
    assert packets.object_id == ["ZTF18aaaaaaa"] * 3
    assert packets.record.tolist() == [0, 1, 2]
    assert len(packets.schemas) == 1
    for row, (first, last) in enumerate(packets.body.tolist()):
        assert packets.blocks[row][first:last] == BODY
    assert registry.asked == [7, 7]


@pytest.mark.parametrize(
    ("value", "reason"),
    [(framed(8, BODY), "schema_unknown"), (b"\x00\x00\x00", "truncated"),
     (framed(7, BODY[:-1]), "truncated"), (framed(7, BODY + b"\x00"), "malformed"),
     (framed(9, BODY), "schema_refused"), (framed(7, b""), "truncated")],
)  # fmt: skip
def test_frames_that_are_refused(value, reason):
    recursive = record_type("node", [("next", ["null", "node"])])
    schemas = {7: json.dumps(SCHEMA).encode(), 9: json.dumps(recursive).encode()}
    packets, (letter,) = Decoder(lookup=Registry(schemas)).decode(batch(value))
    assert len(packets) == 0
    assert letter.reason == reason


def test_a_frame_needs_a_registry():
    _, (letter,) = Decoder().decode(batch(framed(7, BODY)))
    assert letter.reason == "not_avro"


@pytest.mark.skipif(not FRAMED, reason="the shared alerts are not here")
@pytest.mark.parametrize("path", FRAMED, ids=lambda path: path.name)
def test_the_compiled_program_walks_over_rubins_packets(path):
    value = path.read_bytes()
    text, blocks = unframe(value, rubin())
    (block,) = blocks
    schema = parse_schema(text)
    stream = io.BytesIO(value)
    stream.seek(block.start)
    fastavro.schemaless_reader(stream, schema, None)
    base = int(addresses_of([value])[0])
    code, span = Program(schema).code, np.empty((0, 2), np.int64)
    levels = np.empty(LEVEL_CELLS, np.int64)
    end = walk(base + block.start, base + block.stop, code.ctypes.data, span, levels, MAX_VALUES)
    assert end - base == stream.tell() == len(value)


@pytest.mark.skipif(not FRAMED, reason="the shared alerts are not here")
def test_rubins_packets_are_not_of_this_survey():
    values = [path.read_bytes() for path in FRAMED]
    packets, dead = Decoder(lookup=rubin()).decode(batch(*values))
    assert len(packets) == 0
    assert {letter.reason for letter in dead} == {"schema_refused"}
    assert len(dead) == len(values)
