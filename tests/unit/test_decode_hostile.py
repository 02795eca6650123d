"""Bytes that mean harm: each ends as a dead letter, quickly, in little memory."""

import io
import json
import subprocess
import sys
import time
import tracemalloc
import zlib
from pathlib import Path

import cramjam
import fastavro
import pytest

from tests.avro_packets import (
    CANDIDATE,
    batch,
    container,
    data,
    encode,
    long,
    packet,
    packet_schema,
    record_type,
)
from worker.decode import Decoder
from worker.decode.mapping import MAX_POINTS, MAX_VALUES

SECONDS, BYTES = 0.05, 64 * 1024 * 1024

BODY = encode(packet_schema(), packet())
ALERTS = Path("../shared/data/alerts")


def refused(value, **options):
    """The reason of the dead letter; time (of the CPU) and memory are bounded."""
    decoder = Decoder(**options)
    tracemalloc.start()
    start = time.process_time()
    packets, dead = decoder.decode(batch(value))
    seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(packets) == 0
    # Counting allocations costs time of its own, so the clock is read in a second run.
    start = time.process_time()
    Decoder(**options).decode(batch(value))
    seconds = min(seconds, time.process_time() - start)
    assert seconds < SECONDS
    assert peak < BYTES
    (letter,) = dead
    return letter.reason


def nested(depth):
    """A recursive schema and a record so deep that fastavro dies of it."""
    node = record_type("node", [("next", ["null", "node"])])
    return packet_schema(("list", node)), BODY + b"\x02" * depth + b"\x00"


def test_a_recursive_schema():
    schema, body = nested(6000)
    assert refused(container(schema, body)) == "schema_refused"


def test_fastavro_dies_of_the_recursive_schema():
    """If this fails, fastavro has learnt to bear it, and the reason for one check is gone."""
    schema, body = nested(100_000)
    code = "import sys, io, fastavro; list(fastavro.reader(io.BytesIO(sys.stdin.buffer.read())))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=container(schema, body),
        capture_output=True,
        check=False,
    )
    assert run.returncode != 0


@pytest.mark.parametrize("count", [100_000_000, -100_000_000, 2**62, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("items", ["null", record_type("nothing", []), "boolean", "string"])
def test_arrays_that_announce_more_than_there_is(items, count):
    schema = packet_schema(("many", {"type": "array", "items": items}))
    counted = long(count) + (long(0) if count < 0 else b"")
    empty = items == "null" or isinstance(items, dict)
    expected = "schema_refused" if empty else "truncated"
    assert refused(container(schema, BODY + counted + b"\x00")) == expected


def test_many_names_that_unfold_to_more():
    """Sixteen levels of a hundred uses each: 10^32 values that take no bytes."""
    levels = [("l0", record_type("t0", [("a", "null")]))]
    for level in range(1, 12):
        inner = [(f"f{i}", f"t{level - 1}") for i in range(100)]
        levels.append((f"l{level}", record_type(f"t{level}", inner)))
    assert refused(container(packet_schema(*levels), BODY)) == "schema_refused"


def test_depth_that_hides_behind_names():
    levels = [("l0", record_type("t0", [("a", "int")]))]
    levels += [(f"l{i}", record_type(f"t{i}", [("a", f"t{i - 1}")])) for i in range(1, 200)]
    assert refused(container(packet_schema(*levels), BODY)) == "schema_refused"


def test_values_without_bytes_in_items_with_one():
    """2,000,000 items of one byte with 900 nulls each would be 10^9 values for fastavro."""
    fields = [("b", "boolean"), *((f"n{i}", "null") for i in range(900))]
    schema = packet_schema(("many", {"type": "array", "items": record_type("item", fields)}))
    body = BODY + long(2_000_000) + bytes(2_000_000) + b"\x00"
    assert refused(container(schema, body)) == "too_many_points"
    assert MAX_VALUES < 2_000_000


@pytest.mark.parametrize(("codec", "size"), [("deflate", 100), ("snappy", 32), ("zstandard", 500)])
def test_blocks_that_inflate_to_many_mebibytes(codec, size):
    zeros = bytes(size * 1024 * 1024)
    if codec == "deflate":
        engine = zlib.compressobj(6, zlib.DEFLATED, -15)
        block = engine.compress(zeros) + engine.flush()
    elif codec == "snappy":
        block = bytes(cramjam.snappy.compress_raw(zeros)) + b"\x00" * 4
    else:
        block = bytes(cramjam.zstd.compress(zeros))
    del zeros
    value = container(packet_schema(), block, codec=codec.encode(), count=1)
    assert refused(value) == "codec_refused"


@pytest.mark.parametrize("codec", [b"bzip2", b"xz", b"\xff\xfe", b"Null", b""])
def test_codecs_that_are_not_on_the_list(codec):
    assert refused(container(packet_schema(), BODY, codec=codec)) == "codec_refused"


@pytest.mark.parametrize("length", [-1, -(2**63), 2**31, 2**63 - 1, 100])
def test_lengths_that_lie(length):
    schema = packet_schema(("text", "string"), ("raw", "bytes"))
    for tail in (long(length), long(0) + long(length)):
        value = container(schema, BODY + tail)
        assert refused(value) == ("malformed" if length < 0 else "truncated")


def test_numbers_that_never_end():
    schema = packet_schema(("n", "long"))
    assert refused(container(schema, BODY + b"\x80" * 11 + b"\x00")) == "malformed"
    assert refused(container(schema, BODY + b"\x80" * 9)) == "truncated"


@pytest.mark.parametrize("branch", [2, -1, 2**31, -(2**63)])
def test_union_branches_that_do_not_exist(branch):
    for kind in (["null", "float"], ["null", "int", "string"], ["null", record_type("r", [])]):
        branches = len(kind)
        if branch == 2 and branches == 3:
            continue
        value = container(packet_schema(("x", kind)), BODY + long(branch))
        assert refused(value) == "malformed"


def test_bytes_behind_the_record_and_strings_that_are_not_utf8():
    assert refused(container(packet_schema(), BODY + b"\x00")) == "malformed"
    for text in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"a\x80"):
        value = container(packet_schema(("t", "string")), BODY + data(text))
        assert refused(value) == "malformed"
        with pytest.raises(UnicodeDecodeError):
            list(fastavro.reader(io.BytesIO(value)))


def test_too_many_records_and_none():
    assert refused(container(packet_schema(), BODY, BODY)) == "multi_record"
    assert refused(container(packet_schema(), count=0)) == "multi_record"
    assert refused(container(packet_schema(), BODY, count=2**62)) == "multi_record"
    assert refused(container(packet_schema(), BODY, count=-1)) == "malformed"
    many = container(packet_schema(), BODY, count=2**62)
    assert refused(many, single_record=False) == "truncated"


def test_too_many_points():
    point = record_type("point", [("jd", "double"), ("fid", "int"), ("programid", "int"),
                                  ("candid", ["null", "long"])])  # fmt: skip
    schema = packet_schema(("prv_candidates", {"type": "array", "items": point}))
    points = [{**CANDIDATE, "candid": None}] * (MAX_POINTS + 1)
    value = container(schema, encode(schema, packet(prv_candidates=points)))
    assert refused(value) == "too_many_points"
    fits = container(schema, encode(schema, packet(prv_candidates=points[1:])))
    packets, dead = Decoder().decode(batch(fits))
    assert dead == []
    assert len(packets.non_detections.jd) == MAX_POINTS


@pytest.mark.parametrize(
    ("field", "value"),
    [("jd", float("nan")), ("jd", 58000.0), ("ra", 361.0), ("dec", -91.0), ("magpsf", float("inf")),
     ("magpsf", 99.0), ("sigmapsf", -1.0), ("fid", 4), ("programid", 256), ("isdiffpos", "x"),
     ("isdiffpos", "true")],
)  # fmt: skip
def test_values_out_of_range(field, value):
    body = encode(packet_schema(), packet(candidate={**CANDIDATE, field: value}))
    packets, (letter,) = Decoder().decode(batch(container(packet_schema(), body)))
    assert len(packets) == 0
    assert letter.reason == "invalid_value"
    assert field in letter.error
    assert letter.candid == 2**60 + 1


@pytest.mark.parametrize("name", ["", "x" * 257, "a\nb", "é", "\x7f"])
def test_object_names_that_are_no_names(name):
    body = encode(packet_schema(), {**packet(), "objectId": name})
    assert refused(container(packet_schema(), body)) == "invalid_value"


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"null", b"[]", b'"string"', b"[" * 100_000, b'{"type":' * 30_000, b"\xff" * 99,
     b'{"type":"record"}', b'{"type":"record","name":"a","fields":[{"name":"b","type":"c"}]}',
     json.dumps(record_type("a", [("f", {"type": "fixed", "name": "x", "size": -1})])).encode(),
     json.dumps(record_type("a", [("f", {"type": "fixed", "name": "x", "size": 2**40})])).encode(),
     json.dumps(record_type("a", [(f"f{i}", "int") for i in range(2001)])).encode(),
     json.dumps(record_type("a", [("f", "int"), ("f", "int")])).encode()],
)  # fmt: skip
def test_schemas_that_are_none(text):
    assert refused(container(text, BODY)) == "schema_refused"


def test_messages_and_headers_that_are_too_large():
    value = container(packet_schema(), BODY)
    assert refused(value + bytes(2**21)) == "too_large"
    assert refused(container(b" " * 2**18, BODY)) == "header_too_large"
    assert refused(b"") == refused(b"\x00" * 100) == refused(value[4:]) == "not_avro"


@pytest.mark.skipif(not ALERTS.is_dir(), reason="the shared alerts are not here")
def test_a_real_packet_cut_at_every_byte():
    value = min((p.read_bytes() for p in (ALERTS / "ztf").glob("*.avro")), key=len)
    decoder = Decoder()
    assert len(decoder.decode(batch(value))[0]) == 1
    reasons = set()
    start = time.process_time()
    for first in range(0, len(value), 1024):
        cuts = [value[:cut] for cut in range(first, min(first + 1024, len(value)))]
        packets, dead = decoder.decode(batch(*cuts))
        assert len(packets) == 0
        assert len(dead) == len(cuts)
        reasons |= {letter.reason for letter in dead}
    assert (time.process_time() - start) / len(value) < SECONDS
    # Cut right behind the header there is no record at all.
    assert reasons == {"truncated", "not_avro", "multi_record"}
