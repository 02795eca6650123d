"""The oracle of the chaos suite finds what is wrong: a test that can't fail proves nothing."""

import copy
import random
import threading
from dataclasses import replace

import pytest

from models.night import plan_night
from tests.chaos.evidence import Evidence, stored_curves
from tests.chaos.verdict import as_batch, judged
from tests.oracle import read_packet
from worker.commands.offline import MemorySink
from worker.commands.wiring import connect_store, load_scorer, make_loop
from worker.config import load_settings
from worker.kafka import Read
from worker.metrics import Metrics
from worker.simulate import simulate_packets
from worker.topics import Topics
from worker.types.records import TopicPartition

INPUT = TopicPartition("in", 0)
BATCH = 40


class ListSource:
    """Records of a list, batch by batch; sets `stop` behind the last one."""

    def __init__(self, reads, stop):
        self._reads, self._at, self._stop = reads, 0, stop

    def poll_batch(self):
        reads = self._reads[self._at : self._at + BATCH]
        batch = replace(as_batch(reads), starts={INPUT: self._at} if reads else {})
        self._at += len(reads)
        if not reads:
            self._stop.set()
        return batch

    def read_ahead(self):
        return self.poll_batch()

    def advance(self):
        pass

    def replayed_below(self, _partition):
        return 0

    def heartbeat(self):
        pass

    def rewind(self):
        raise AssertionError("nothing aborts here")


@pytest.fixture(scope="module")
def truth(redis_url):
    """A run without any fault."""
    plan = plan_night(3, 24)
    night = simulate_packets(3, plan.objects, plan.planted)
    values = [*night.history, *night.packets, b"no packet", night.packets[0]]
    reads = [Read(INPUT, n, 1_700_000_000_000, None, v, ()) for n, v in enumerate(values)]
    prefix = f"verdict{random.getrandbits(40)}:"
    settings = load_settings(
        None, [f"redis.url={redis_url}", f"redis.prefix={prefix}", "output.topic=out",
               "source.survey=simulated", "dead_letters.max_share=1"]
    ).settings  # fmt: skip
    stop, sink, store = threading.Event(), MemorySink(), connect_store(settings)
    make_loop(
        settings, ListSource(reads, stop), sink, store, load_scorer(settings), Metrics(), stop,
        limits={},
    ).run()  # fmt: skip
    store.close()
    topics = Topics("out")
    return Evidence(
        inputs=reads,
        scores=[read_packet(m.value) for m in sink.on(topics.scores)],
        alerts=[read_packet(m.value) for m in sink.on(topics.out)],
        letters=[
            Read(TopicPartition("dlq", 0), n, 0, m.key, m.value, m.headers)
            for n, m in enumerate(sink.on(topics.dead_letters))
        ],
        books=[read_packet(m.value) for m in sink.on(topics.ledger)],
        curves=stored_curves(redis_url, prefix),
    )


def test_a_run_without_faults_is_clean(truth):
    verdict = judged(truth)
    assert verdict.clean, str(verdict)
    assert verdict.scored > 50
    assert truth.alerts
    assert truth.letters


def duplicate(items):
    items.append(copy.deepcopy(items[0]))


def flip(curves):
    cell = next(iter(curves))
    curves[cell] = curves[cell][:-1] + bytes([curves[cell][-1] ^ 1])


def letter_with(evidence, **changes):
    evidence.letters[0] = replace(evidence.letters[0], **changes)


def expecting(evidence):
    """The input says which reason its dead letter must have."""
    row = next(n for n, read in enumerate(evidence.inputs) if read.value == b"no packet")
    evidence.inputs[row] = replace(
        evidence.inputs[row], headers=(("expected_reason", b"multi_record"),)
    )


FAULTS = {
    "a score is lost": lambda e: e.scores.pop(5),
    "a score comes twice": lambda e: duplicate(e.scores),
    "a score of nothing": lambda e: e.scores[0].update(input_offset=10**6),
    "a score of another packet": lambda e: e.scores[0].update(candid=1),
    "another curve was scored": lambda e: e.scores[0].update(curve_hash=1),
    "an alert is lost": lambda e: e.alerts.pop(),
    "an alert comes twice": lambda e: duplicate(e.alerts),
    "an alert that was withheld": lambda e: e.alerts[0]["anomaly"].update(input_offset=0),
    "a dead letter is lost": lambda e: e.letters.pop(),
    "a dead letter comes twice": lambda e: duplicate(e.letters),
    "a dead letter with other bytes": lambda e: letter_with(e, value=b"other"),
    "a dead letter with another key": lambda e: letter_with(e, key=b"other"),
    "a dead letter for the wrong reason": expecting,
    "a ledger record is lost": lambda e: e.books.pop(1),
    "the last ledger record is lost": lambda e: e.books.pop(),
    "a ledger record comes twice": lambda e: duplicate(e.books),
    "a miscount": lambda e: e.books[0]["partitions"][0]["outcomes"][0].update(count=77),
    "a point of the state is wrong": lambda e: flip(e.curves),
    "an object of the state is lost": lambda e: e.curves.popitem(),
    "an object too many": lambda e: e.curves.update({("ghost", 1): bytes(48)}),
    "an input that nobody saw": lambda e: e.inputs.append(
        replace(e.inputs[-1], offset=len(e.inputs))
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_it_finds(truth, name):
    evidence = copy.deepcopy(truth)
    FAULTS[name](evidence)
    assert not judged(evidence).clean


def test_a_twin_after_a_restore_is_counted_apart(truth):
    evidence = copy.deepcopy(truth)
    last = evidence.inputs[-1]
    first = read_packet(last.value)
    twin = next(s for s in evidence.scores if s["candid"] == first["candid"])
    evidence.scores.append({**twin, "input_offset": last.offset, "outcome": "below"})
    assert judged(evidence).duplicated
    evidence.restores = 1
    verdict = judged(evidence)
    assert verdict.twins == 1
    assert not verdict.duplicated
