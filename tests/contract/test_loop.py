"""The run loop over a real Redis, real packets and a scripted stream that aborts and fails."""

import threading
from collections import Counter

import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from models.night import plan_night
from worker.commands.bench.stub import StubScorer
from worker.commands.wiring import connect_store, make_encoder, make_rules
from worker.config import load_settings
from worker.decode import Decoder
from worker.encode import read_container
from worker.errors import BatchAbortedError, ConfigError, RestartRequiredError, TransientError
from worker.loop import Loop
from worker.metrics import Metrics
from worker.rooms import Rooms
from worker.simulate import simulate_packets
from worker.tracing import NO_SPANS, OpenTelemetrySpans
from worker.types.records import RecordBatch, TopicPartition

INPUT = TopicPartition("in", 0)
SIZE = 40


class Stream:
    """A partition that hands out SIZE records at a time and can be read again."""

    def __init__(self, values, stop):
        self.values, self.stop = values, stop
        self.position, self.last, self.committed = 0, [], 0

    def poll_batch(self):
        self.last = []
        if self.position == len(self.values):
            self.stop.set()
        return self.read_ahead()

    def read_ahead(self):
        self.last.append(self.position)
        start, self.position = self.position, min(self.position + SIZE, len(self.values))
        values = self.values[start : self.position]
        count = len(values)
        return RecordBatch(
            [INPUT], np.zeros(count, np.int32), np.arange(start, start + count),
            np.full(count, 1_764_000_000_000), values, [None] * count, [()] * count, {INPUT: start},
        )  # fmt: skip

    def advance(self):
        del self.last[:-1]

    def rewind(self):
        self.position = self.last[0]

    def replayed_below(self, _partition):
        return 0

    def heartbeat(self):
        pass


class Committed:
    """Keeps what is committed; raises what is scripted, one entry per commit."""

    def __init__(self, *script):
        self.script, self.messages, self.spans = list(script), [], []

    def commit(self, messages, next_offsets):
        if self.script and (error := self.script.pop(0)) is not None:
            raise error
        ledger = next(m for m in messages if m.topic == "out.ledger")
        (part,) = read_container(ledger.value)["partitions"]
        self.spans.append((part["start"], next_offsets[INPUT]))
        self.messages += messages

    def records(self, topic):
        found = [read_container(m.value) for m in self.messages if m.topic == topic]
        return [{k: v for k, v in record.items() if k != "scored_at_ms"} for record in found]


class Flaky:
    """The real store, whose merges fail as scripted."""

    def __init__(self, store, *script):
        self._store, self.script = store, list(script)

    def merge(self, *arguments):
        if self.script and (error := self.script.pop(0)) is not None:
            raise error
        return self._store.merge(*arguments)

    def __getattr__(self, name):
        return getattr(self._store, name)


@pytest.fixture(scope="module")
def values():
    plan = plan_night(7, 60)
    sent = simulate_packets(7, plan.objects, plan.planted)
    return [*sent.history[-200:], *sent.packets]


@pytest.fixture
def run(redis_url, unique, values):
    """Runs the loop to its end; every call has a state of its own."""
    stores = []

    def go(sink, *failures, stream=values, max_share="1", spans=NO_SPANS):
        settings = load_settings(
            None,
            (
                f"redis.url={redis_url}", f"redis.prefix={unique}{len(stores)}:",
                "output.topic=out", "output.min_percentile=95",
                f"dead_letters.max_share={max_share}",
            ),
        ).settings  # fmt: skip
        store = connect_store(settings)
        stores.append(store)
        stop, model = threading.Event(), StubScorer()
        rules = make_rules(settings, model)
        rooms = Rooms(
            source=Stream(stream, stop), decoder=Decoder(), scorer=model,
            store=Flaky(store, *failures),
            encoder=make_encoder(settings, rules, model, test=False, limits={}), sink=sink,
        )  # fmt: skip
        Loop(rooms, rules, Metrics(spans), stop).run()
        return sink

    yield go
    for store in stores:
        store.close()


def test_batches_are_committed_once_and_in_order(run, values):
    sink = run(Committed())
    assert [start for start, _ in sink.spans] == list(range(0, len(values), SIZE))
    assert sink.spans[-1][1] == len(values)
    scores = sink.records("out.scores")
    assert len({score["candid"] for score in scores}) == len(scores) > 100
    assert {"emitted", "below", "few_points"} <= {score["outcome"] for score in scores}


def test_aborts_and_outages_change_nothing(run):
    calm = run(Committed())
    abort, away = BatchAbortedError("test"), TransientError("test")
    rough = run(
        Committed(None, abort, None, abort, abort, None), None, away, None, None, away, away
    )
    assert rough.spans == calm.spans
    for topic in ("out.scores", "out"):
        assert without_late(rough.records(topic)) == without_late(calm.records(topic))


def test_dead_letters_stop_the_loop_and_aborts_do_not_add_to_them(run, values):
    some = [*values[:37], *[b"no packet"] * 3, *values[37:100]]
    sink = run(Committed(*[BatchAbortedError("test")] * 9), stream=some, max_share="0.05")
    assert sink.spans[-1][1] == len(some)
    many = [*values[:60], *[b"no packet"] * 20, *values[60:100]]
    sink = Committed()
    with pytest.raises(ConfigError, match="20 of the last 80 records"):
        run(sink, stream=many, max_share="0.05")
    assert sink.spans == [(0, SIZE)]


def test_what_only_a_restart_mends_ends_the_loop_with_the_batch_uncommitted(run):
    sink = Committed()
    with pytest.raises(RestartRequiredError):
        run(sink, None, None, RestartRequiredError("lost its tail"))
    assert sink.spans == [(0, SIZE), (SIZE, 2 * SIZE)]


def test_repeats_see_the_emissions_of_the_batch_before(run):
    emitted = Counter(record["objectId"] for record in run(Committed()).records("out"))
    repeated = [r for r in run(Committed()).records("out.scores") if r["outcome"] == "repeated"]
    assert repeated
    assert {record["objectId"] for record in repeated} <= emitted.keys()


def without_late(records):
    """Merged again after an abort, a packet is no longer new and so not late."""
    return [
        replace_flags(record, [f for f in flags_of(record) if f != "late"]) for record in records
    ]


def flags_of(record):
    return record.get("anomaly", record)["flags"]


def replace_flags(record, flags):
    if "anomaly" in record:
        anomaly = {k: v for k, v in record["anomaly"].items() if k != "scored_at_ms"}
        return {**record, "anomaly": {**anomaly, "flags": flags}}
    return {**record, "flags": flags}


def test_each_stage_of_a_batch_is_a_span_below_its_batch(run, values):
    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    sink = run(Committed(), spans=OpenTelemetrySpans(provider))
    found = memory.get_finished_spans()
    batches = {span.context.span_id: span.name for span in found if span.parent is None}
    inside = Counter((batches[s.parent.span_id], s.name) for s in found if s.parent is not None)
    count = len(sink.spans)
    assert count > 3
    stages = (
        ("decode", "state"),
        ("wait", "window", "score", "claim", "encode", "commit", "remember"),
    )
    assert inside == {
        (batch, stage): count
        for batch, names in zip(("prepare", "finish"), stages, strict=True)
        for stage in names
    }
    assert set(batches.values()) == {"poll", "prepare", "finish"}
