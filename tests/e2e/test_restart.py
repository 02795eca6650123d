"""However the work is cut up, what comes out is the same."""

import random

import pytest
import redis

from tests.e2e.harness import (
    Worker,
    create_topic,
    decoded,
    produce,
    read_topic,
    run_arguments,
    settled,
    wait_until,
    workers,
)
from tests.e2e.packets import needs_alerts, objects_of_two_values, real_items
from tests.oracle import grouped

pytestmark = needs_alerts

PARTITIONS = 4


@pytest.fixture(scope="module")
def bench(kafka_bootstrap, redis_url, tmp_path_factory):
    return Bench(kafka_bootstrap, redis_url, tmp_path_factory.mktemp("restart"))


@pytest.fixture(scope="module")
def whole(bench):
    """One worker, never interrupted."""
    run = bench.run("whole", real_items())
    with workers(run.worker("0")) as (only,):
        run.wait(1.0, only)
        assert only.drain() == 0, only.tail()
    return run.results()


@pytest.fixture(scope="module")
def extremes(bench, whole):
    """The earliest and the latest value of a candid with two that a packet can be scored with.

    Record by record a packet sees what came before it; on a state that holds every point from
    the start, what came behind it as well. A batch is between, wherever it is cut or read again.
    """
    early = bench.run("stepwise", real_items(), batch__max_records="1")
    late = bench.run("foreknown", real_items())
    late.fill(whole.state)
    for run in (early, late):
        with workers(run.worker("0")) as (only,):
            run.wait(1.0, only)
            assert only.drain() == 0, only.tail()
    return early.results(), late.results()


def test_stopped_in_the_middle(bench, whole, extremes):
    run = bench.run("stopped", real_items())
    with workers(run.worker("0")) as (first,):
        run.wait(0.3, first)
        assert first.drain() == 0, first.tail()
    with workers(run.worker("0")) as (second,):
        run.wait(1.0, second)
        assert second.drain() == 0, second.tail()
    same(run.results(), whole, extremes)


def test_two_workers_one_of_them_killed(bench, whole, extremes):
    run = bench.run("two", real_items())
    with workers(run.worker("0"), run.worker("1")) as (first, second):
        run.wait(0.2, first, second)
        second.kill()
        with workers(run.worker("1")) as (third,):
            run.wait(1.0, first, third)
            assert [first.drain(), third.drain()] == [0, 0], first.tail() + third.tail()
    same(run.results(), whole, extremes)


def test_rolling_restart_under_the_brokers_own_assignment(bench, whole, extremes):
    """The group protocol of KIP-848; a killed slot is free there after the session's time only."""
    run = bench.run("rolling", real_items(), kafka__consumer__group__protocol="consumer")
    with workers(run.worker("0"), run.worker("1")) as (first, second):
        run.wait(0.2, first, second)
        assert second.drain() == 0, second.tail()
        with workers(run.worker("1")) as (third,):
            run.wait(1.0, first, third)
            assert [first.drain(), third.drain()] == [0, 0], first.tail() + third.tail()
    same(run.results(), whole, extremes)


def test_shuffled_packets_end_in_the_same_state(bench, whole):
    items = real_items()
    random.Random(4).shuffle(items)
    run = bench.run("shuffled", items)
    with workers(run.worker("0")) as (only,):
        run.wait(1.0, only)
        assert only.drain() == 0, only.tail()
    results = run.results()
    assert results.state == whole.state
    assert cut_counts(results) == cut_counts(whole)
    both = results.scores.keys() & whole.scores.keys()
    # Only a curve that was too short when an early packet came late can tell the two apart.
    assert len(both) > 0.95 * len(whole.scores | results.scores)
    alike = [c for c in both
             if results.scores[c]["curve_hash"] == whole.scores[c]["curve_hash"]]  # fmt: skip
    assert len(alike) > 0.3 * len(whole.scores)
    for candid in alike:
        assert results.scores[candid]["score"] == pytest.approx(
            whole.scores[candid]["score"], rel=1e-4, abs=1e-4
        )


def cut_counts(results):
    """Outcomes that don't depend on the order of arrival."""
    late = ("emitted", "withheld", "skipped.short", "duplicate")
    return {o: n for o, n in results.outcomes.items() if not o.startswith(late)}


def test_the_extremes_differ_in_little(extremes):
    """What a run that was cut short may choose between: objects with two values, and few."""
    early, late = extremes
    assert early.state == late.state
    assert early.scores.keys() == late.scores.keys()
    differing = {score["objectId"] for candid, score in early.scores.items()
                 if score["curve_hash"] != late.scores[candid]["curve_hash"]}  # fmt: skip
    assert differing <= objects_of_two_values(real_items())
    assert 0 < len(differing) < 10, differing


def same(results, whole, extremes):
    """Same alerts, outcomes and hashes; scores within 1e-4 relative.

    Where the extremes differ either will do, and the emissions of that object may differ too.
    """
    assert results.state == whole.state
    assert results.scores.keys() == whole.scores.keys()
    assert grouped(results.outcomes) == grouped(whole.outcomes)
    others = set()
    for candid, score in results.scores.items():
        known = {run.scores[candid]["curve_hash"]: run.scores[candid] for run in (*extremes, whole)}
        expected = known[score["curve_hash"]]
        assert score["score"] == pytest.approx(expected["score"], rel=1e-4, abs=1e-4)
        if len(known) > 1:
            others.add(score["objectId"])
    for candid, score in results.scores.items():
        assert score["objectId"] in others or score["outcome"] == whole.scores[candid]["outcome"]
    assert [a for a in results.alerts if a[0] not in others] == [
        a for a in whole.alerts if a[0] not in others
    ]
    assert others or results.outcomes == whole.outcomes


class Bench:
    """Real servers that many runs share; each run has topics and a group of its own."""

    def __init__(self, bootstrap, redis_url, folder):
        self.bootstrap, self.redis_url, self.folder = bootstrap, redis_url, folder

    def run(self, name, items, **settings):
        return Run(self, name, items, settings)


class Run:
    """One input topic and what workers make of it.

    The survey is `simulated`, which has a calibration: the provisional rule of other surveys
    looks back on what one process has seen, so it is not replayable.
    """

    def __init__(self, bench, name, items, settings):
        self.bench, self.name, self.count = bench, name, len(items)
        self._settings = settings
        self.topic, self.out = f"e2e.{name}", f"e2e.{name}.anomaly"
        create_topic(bench.bootstrap, self.topic, PARTITIONS)
        produce(bench.bootstrap, self.topic, items)

    def worker(self, slot):
        arguments = run_arguments(
            self.bench.bootstrap, self.bench.redis_url, topic=self.topic, out=self.out,
            group=f"e2e-{self.name}", slot=slot, source__survey="simulated",
            output__min_percentile="80", **{"batch__max_records": "40", **self._settings},
        )  # fmt: skip
        return Worker(self.bench.folder / f"{self.name}-{slot}.log", arguments)

    def wait(self, share, *running):
        """Until this share of the records is in the books."""
        wanted = share * self.count
        wait_until(
            lambda: settled(self.bench.bootstrap, self.out) >= wanted, 120, self.name, *running
        )

    def fill(self, state):
        """Begin with this state."""
        with redis.Redis.from_url(self.bench.redis_url) as client:
            client.mset({f"e2e-{self.name}:{key}": value for key, value in state.items()})

    def results(self):
        return Results(self.bench, self.out, f"e2e-{self.name}:")


class Results:
    """What a run left: state, scores and alerts by candid, outcomes by name."""

    def __init__(self, bench, out, prefix):
        with redis.Redis.from_url(bench.redis_url) as client:
            keys = sorted(client.scan_iter(f"{prefix}lc:*", 1000))
            self.state = {k.decode().removeprefix(prefix): client.get(k) for k in keys}
        rows = decoded(read_topic(bench.bootstrap, f"{out}.scores"))
        self.scores = {row["candid"]: row for row in rows}
        assert len(self.scores) == len(rows), "a candid was scored twice"
        alerts = decoded(read_topic(bench.bootstrap, out))
        self.alerts = sorted((a["objectId"], a["candid"]) for a in alerts)
        self.outcomes = {}
        for book in decoded(read_topic(bench.bootstrap, f"{out}.ledger")):
            for part in book["partitions"]:
                for entry in part["outcomes"]:
                    name = entry["outcome"]
                    self.outcomes[name] = self.outcomes.get(name, 0) + entry["count"]
