"""Real packets with broken bytes: no crash, no hang, no swelling, only typed errors.

ANOMALY_WORKER_TEST_FUZZ_SECONDS makes it run for longer.
"""

import io
import os
import random
import time
import tracemalloc
from pathlib import Path

import fastavro
import pytest

from tests.avro_packets import batch, container
from worker.decode import Decoder
from worker.decode.framing import read_blocks, read_header
from worker.types.outcomes import DEAD_LETTER_REASONS

ALERTS = Path("../shared/data/alerts")
SECONDS = float(os.environ.get("ANOMALY_WORKER_TEST_FUZZ_SECONDS", "4"))
EDGES = (0, 1, 2, 3, 4, 0x7F, 0x80, 0xFE, 0xFF)

pytestmark = pytest.mark.skipif(not ALERTS.is_dir(), reason="the shared alerts are not here")


def parts():
    """Schema and body of some real packets, of every schema version."""
    found = []
    for folder in ("ztf", "ztf_variants"):
        for path in sorted((ALERTS / folder).glob("*.avro"))[::12]:
            value = path.read_bytes()
            header = read_header(value)
            found += [(header.schema, b.data[b.start : b.stop]) for b in read_blocks(value, header)]
    return found


def broken(body, chance):
    """A copy with a few bytes changed, inserted or left out, most near the beginning."""
    copy = bytearray(body)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(min(len(copy), chance.choice((600, 6000, len(copy)))))
        action = chance.random()
        if action < 0.6:
            copy[at] = chance.choice(EDGES) if action < 0.4 else chance.randrange(256)
        elif action < 0.8:
            copy[at:at] = chance.randbytes(chance.choice((1, 2, 8, 11)))
        else:
            del copy[at : at + chance.choice((1, 2, 8))]
        copy = copy or bytearray(1)
    return bytes(copy)


def test_broken_packets_are_dead_letters_or_what_fastavro_reads():
    """The container is right again, so that what is broken reaches the kernel."""
    seed = random.SystemRandom().getrandbits(32)
    print("seed", seed)
    chance, decoder, whole = random.Random(seed), Decoder(), parts()
    accepted, reasons = 0, set()
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline or accepted == 0:
        chosen = [chance.choice(whole) for _ in range(64)]
        values = [container(schema, broken(body, chance)) for schema, body in chosen]
        packets, dead = decoder.decode(batch(*values))
        assert len(packets) + len(dead) == len(values)
        reasons |= {letter.reason for letter in dead}
        for row, record in enumerate(packets.record.tolist()[:2]):
            # fastavro refuses nothing that was accepted, and reads the same.
            (read,) = fastavro.reader(io.BytesIO(values[record]))
            assert packets.object_id[row] == read["objectId"]
            assert packets.candid[row] == read.get("candid", read["candidate"].get("candid"))
            assert packets.jd[row] == read["candidate"]["jd"]
        accepted += len(packets)
    assert reasons <= set(DEAD_LETTER_REASONS)
    assert {"truncated", "malformed", "invalid_value"} <= reasons


def test_broken_containers_are_dead_letters():
    seed = random.SystemRandom().getrandbits(32)
    print("seed", seed)
    chance, decoder = random.Random(seed), Decoder()
    whole = [container(schema, body) for schema, body in parts()]
    deadline = time.monotonic() + SECONDS / 4
    while time.monotonic() < deadline:
        values = [broken(chance.choice(whole), chance) for _ in range(16)]
        packets, dead = decoder.decode(batch(*values))
        assert len(packets) + len(dead) == len(values)
        assert {letter.reason for letter in dead} <= set(DEAD_LETTER_REASONS)


def test_a_batch_of_broken_packets_stays_small():
    chance, decoder, whole = random.Random(1), Decoder(), parts()
    values = [container(schema, broken(body, chance)) for schema, body in whole]
    decoder.decode(batch(*values))
    tracemalloc.start()
    decoder.decode(batch(*values))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 1024 * 1024
