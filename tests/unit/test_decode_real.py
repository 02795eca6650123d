"""Every real packet, field by field and bit by bit, against fastavro."""

import io
import json
from pathlib import Path

import fastavro
import pytest

from tests.decode_oracle import assert_equals_fastavro
from worker.decode import Decoder
from worker.decode.files import read_files

ALERTS = Path("../shared/data/alerts")

pytestmark = pytest.mark.skipif(not ALERTS.is_dir(), reason="the shared alerts are not here")


STAMPS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")


def folder(name):
    return sorted(p for p in (ALERTS / name).iterdir() if p.suffix == ".avro")


@pytest.mark.parametrize("name", ["ztf", "ztf_rebuilt", "ztf_redelivered", "ztf_variants"])
def test_every_real_packet_equals_fastavro(name):
    decoder = Decoder(single_record=False)
    count = 0
    for records in read_files(folder(name)):
        packets, dead = decoder.decode(records)
        assert dead == []
        assert_equals_fastavro(packets, records)
        count += len(packets)
    assert count >= len(folder(name))


def test_body_spans_hold_exactly_the_record():
    decoder = Decoder(single_record=False)
    for records in read_files(folder("ztf")[::20] + folder("ztf_variants")):
        packets, _ = decoder.decode(records)
        readers = {}
        for row, record in enumerate(packets.record.tolist()):
            reader = readers.setdefault(record, fastavro.reader(io.BytesIO(records.values[record])))
            start, stop = packets.body[row].tolist()
            body = io.BytesIO(packets.blocks[row][start:stop])
            schema = fastavro.parse_schema(reader.writer_schema, _ignore_default_error=True)
            decoded = fastavro.schemaless_reader(body, schema, None)
            assert repr(decoded) == repr(next(reader))
            assert body.read() == b""


def test_other_spans_hold_exactly_their_values():
    decoder = Decoder(single_record=False)
    for records in read_files(folder("ztf")[::20] + folder("ztf_variants")):
        packets, _ = decoder.decode(records)
        readers = {}
        for row, record in enumerate(packets.record.tolist()):
            reader = readers.setdefault(record, fastavro.reader(io.BytesIO(records.values[record])))
            whole, block = next(reader), packets.blocks[row]
            schema = {f["name"]: f["type"] for f in decoded_schema(packets, row)["fields"]}
            first, last = packets.spans["candidate"][row].tolist()
            assert written(value_type(schema["candidate"]), whole["candidate"]) == block[first:last]
            for name in STAMPS:
                _check_stamp(packets.spans[name][row].tolist(), name, schema, whole, block)
            assert packets.spans["cdsxmatch"][row].tolist() == [-1, -1]


def _check_stamp(span, name, schema, whole, block):
    first, last = span
    assert (first < 0) == (whole.get(name) is None)
    if first >= 0:
        stamp = value_type(schema[name])
        stamp = value_type(schema[STAMPS[0]]) if isinstance(stamp, str) else stamp
        assert written(stamp, whole[name]) == block[first:last]


def decoded_schema(packets, row):
    return fastavro.parse_schema(
        json.loads(packets.schemas[packets.schema[row]]), _ignore_default_error=True
    )


def written(schema, value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


def value_type(kind):
    return next(t for t in kind if t != "null") if isinstance(kind, list) else kind


def test_packets_of_other_surveys_are_refused_by_rule():
    for name, count in (("other", 35), ("ztf_malformed", 3)):
        files = folder(name)
        dead = []
        for records in read_files(files):
            packets, letters = Decoder().decode(records)
            assert len(packets) == 0
            dead += letters
        assert len(dead) == len(files) == count
        assert {d.reason for d in dead} <= {"schema_refused", "invalid_value", "truncated"}
