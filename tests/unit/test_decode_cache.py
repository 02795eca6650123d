"""Compiled code and compiled schemas are kept, found again, and never too many."""

import json
import logging
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.avro_packets import batch, container, encode, packet, packet_schema
from worker.decode import Decoder, jit, library, plan
from worker.decode.library import MAX_SCHEMAS

START = """
import os, sys, time
if "read-only" in sys.argv:
    image = os.environ["NUMBA_CACHE_DIR"]
    # What a read-only file system says, also to root.
    os.access = lambda path, mode: image not in str(path)
    from worker.compiled import use_compiled
    use_compiled()
start = time.process_time()
from worker.decode import Decoder, container, jit, kernel, ops
imported = time.process_time()
Decoder()
seconds = time.process_time() - imported
functions = (container.recognise, kernel.run, ops.walk)
print(all(sum(f.stats.cache_hits.values()) == 1 for f in functions), seconds, jit.DIRECTORY)
"""


def start(directory, *arguments):
    """A fresh process with a cache directory: whether all came from the cache, seconds, where."""
    run = subprocess.run(
        [sys.executable, "-c", START, *arguments],
        env={**os.environ, "NUMBA_CACHE_DIR": str(directory), "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    hit, seconds, where = run.stdout.split()
    return hit == "True", float(seconds), Path(where), run.stderr


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cache directory as an image has it: filled before."""
    Decoder()
    directory = tmp_path_factory.mktemp("cache")
    shutil.copytree(jit.DIRECTORY, directory / jit.DIRECTORY.name)
    return directory


def test_a_second_start_compiles_nothing(filled):
    hit, seconds, where, _ = start(filled)
    assert hit
    assert where.parent == filled
    assert seconds < 1


def test_a_read_only_cache_is_used(filled):
    hit, seconds, where, errors = start(filled, "read-only")
    assert hit
    assert seconds < 1
    assert filled not in where.parents
    assert not where.exists()  # the copy goes with the process
    assert errors == ""


def test_nowhere_to_write_is_one_warning(monkeypatch, caplog, tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    monkeypatch.setattr(jit._CONFIG, "CACHE_DIR", str(in_the_way))
    with caplog.at_level(logging.WARNING):
        assert jit.cache_directory() is None
    (record,) = caplog.records
    assert "NUMBA_CACHE_DIR" in record.getMessage()
    monkeypatch.setattr(jit, "DIRECTORY", None)

    def double(value):
        return 2 * value

    assert jit.compiled(double)(21) == 42


def test_a_changed_source_has_a_directory_of_its_own(monkeypatch, tmp_path):
    room = tmp_path / "decode"
    shutil.copytree(jit.ROOM, room, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(jit, "ROOM", room)
    monkeypatch.setattr(jit._CONFIG, "CACHE_DIR", str(tmp_path))
    before = jit.cache_directory()
    with (room / "wire.py").open("a") as file:
        file.write("\n")
    assert jit.cache_directory() != before


# --- writer schemas -----------------------------------------------------------------------


def variant(number):
    """A packet of a schema that nothing else has."""
    schema = {**packet_schema(), "doc": str(number)}
    return container(schema, encode(packet_schema(), {**packet(), "candid": number}))


def test_schemas_may_change_at_every_packet():
    decoder = Decoder()
    order = [number % 7 for number in range(100)]
    for _ in range(2):
        packets, dead = decoder.decode(batch(*map(variant, order)))
        assert dead == []
        assert packets.candid.tolist() == order
        texts = [json.loads(packets.schemas[i])["doc"] for i in packets.schema.tolist()]
        assert texts == list(map(str, order))
    assert len(decoder._library.entries) == 7


def test_the_library_is_bounded():
    decoder = Decoder()
    for first in range(0, 3 * MAX_SCHEMAS, MAX_SCHEMAS // 2):
        numbers = range(first, first + MAX_SCHEMAS // 2)
        packets, _ = decoder.decode(batch(*map(variant, numbers)))
        assert packets.candid.tolist() == list(numbers)
        assert len(decoder._library.entries) <= MAX_SCHEMAS


def odd(doc):
    """A packet in which rb may be a string: no column can hold one."""
    fields = [dict(field) for field in packet_schema()["fields"]]
    own = next(field for field in fields if field["name"] == "candidate")
    own["type"] = {**own["type"], "fields": [
        *own["type"]["fields"], {"name": "rb", "type": ["null", "float", "string"]}
    ]}  # fmt: skip
    schema = {**packet_schema(), "doc": doc, "fields": fields}
    return container(schema, encode(schema, packet()))


def test_unknown_schemas_can_be_refused():
    packets, dead = Decoder(accept_unknown_schemas=False).decode(batch(variant(1), odd("a")))
    assert packets.candid.tolist() == [1]
    assert [(letter.record, letter.reason) for letter in dead] == [(1, "schema_unknown")]
    packets, dead = Decoder().decode(batch(odd("a")))
    assert (len(packets), dead) == (1, [])


def test_a_refused_schema_is_parsed_once(monkeypatch):
    parsed = []

    def make_entry(text, *rest):
        parsed.append(text)
        return library.make_entry(text, *rest)

    monkeypatch.setattr(plan, "make_entry", make_entry)
    decoder = Decoder(accept_unknown_schemas=False)
    for _ in range(3):
        _, dead = decoder.decode(batch(odd("a"), odd("a")))
        assert [letter.reason for letter in dead] == ["schema_unknown"] * 2
    assert len(parsed) == 1
    for number in range(2 * plan.MAX_REFUSED):
        decoder.decode(batch(odd(str(number))))
        assert len(decoder._guard.refused) <= plan.MAX_REFUSED


def test_threads_share_a_decoder():
    decoder = Decoder()
    batches = [batch(*(variant(first + i % 5) for i in range(64))) for first in range(40)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(decoder.decode, batches))
    for first, (packets, dead) in enumerate(results):
        assert dead == []
        np.testing.assert_array_equal(packets.candid, [first + i % 5 for i in range(64)])


def test_no_records():
    packets, dead = Decoder().decode(batch())
    assert len(packets) == 0
    assert dead == []
    assert len(packets.detections.jd) == 0
    assert packets.body.shape == (0, 2)
