"""`demo`: a simulated night through the same run loop, with no server but our own.

A mock Kafka inside librdkafka, a Redis of our own, the packaged model, and a night in which
oddities are planted that no training set holds.
"""

import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from worker.commands.options import json_option
from worker.errors import AnomalyWorkerError
from worker.ledger import Report, check

TOPIC = "simulated.alerts"
OUT = "simulated.anomaly"
PARTITIONS = 8
TOP = 10
PRODUCE_BATCH = 64

MAX_LAG = 512
"""Records that may wait: the mock cluster keeps about 5 MB per partition."""


@dataclass(frozen=True, slots=True)
class DemoNight:
    """A simulated night and what is known about it.

    `history`, `packets`: see `worker.simulate`. `planted`: kind and what is odd about it, by
    object. `by_amplitude`: objects and amplitudes [mag], largest first. `kinds`: by object.
    """

    history: Sequence[bytes]
    packets: Sequence[bytes]
    planted: Mapping[str, tuple[str, str]]
    by_amplitude: Sequence[tuple[str, float]]
    kinds: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ranked:
    """An object in the worker's order."""

    object_id: str
    p: float
    score: float


@click.command()
@click.option("--seed", default=1, show_default=True, help="Of the simulated night.")
@click.option("--objects", default=300, show_default=True, type=click.IntRange(20, 5000),
              help="Ordinary objects of the night.")  # fmt: skip
@click.option("--board", is_flag=True, help="Watch it on the night board; Ctrl-C ends.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535),
              help="Of the board; 0 takes a free one.")  # fmt: skip
@json_option
def demo(seed: int, objects: int, port: int, *, board: bool, as_json: bool) -> None:
    """Rank a simulated night with planted oddities: no server, no GPU, no network.

    With --json the table goes to stderr and one line of counts to stdout. Fails unless every
    record is accounted for.
    """
    from worker.commands.board import LiveBoard, listen
    from worker.logs import configure

    started = time.monotonic()
    configure("auto", logging.WARNING)
    click.echo(f"simulating a night of {objects} objects, seed {seed}", err=True)
    night = simulate_demo_night(seed, objects)
    click.echo(
        f"{len(night.packets)} packets tonight, {len(night.history)} of the months before",
        err=True,
    )
    with ranked_night(night, LiveBoard(listen("127.0.0.1", port)) if board else None) as found:
        ranking, counts = found
        result = {
            **counts,
            "planted": len(night.planted),
            "planted_in_top10": sum(row.object_id in night.planted for row in ranking[:TOP]),
            "seconds": round(time.monotonic() - started, 1),
        }
        click.echo(table(night, ranking), err=as_json)
        click.echo(json.dumps(result) if as_json else summary(result))


def simulate_demo_night(seed: int, objects: int) -> DemoNight:
    """The night as packets, and the truth about it."""
    from models.night import amplitudes, plan_night
    from worker.simulate import simulate_packets

    plan = plan_night(seed, objects)
    sent = simulate_packets(seed, plan.objects, plan.planted)
    sizes = zip(sent.object_ids, amplitudes(plan.objects).tolist(), strict=True)
    return DemoNight(
        history=sent.history,
        packets=sent.packets,
        planted={
            sent.object_ids[row]: (plan.objects[row].kind, plan.why(row)) for row in plan.planted
        },
        by_amplitude=sorted((pair for pair in sizes if pair[1] > 0), key=lambda pair: -pair[1]),
        kinds={name: found.kind for name, found in zip(sent.object_ids, plan.objects, strict=True)},
    )


@contextmanager
def ranked_night(
    night: DemoNight, board: Any = None
) -> Iterator[tuple[list[Ranked], dict[str, int]]]:
    """Seed the history, stream the night through the run loop, read the results back.

    Yields the objects in the worker's order, and the counts of the ledger. A `board` shows the
    night as it comes, and stays until Ctrl-C. Raises AnomalyWorkerError when a record is not
    accounted for.
    """
    from worker.commands.run import run_worker
    from worker.config import load_settings
    from worker.embedded import EmbeddedRedis
    from worker.encode import read_container
    from worker.kafka import MockCluster, read_all
    from worker.metrics import Metrics
    from worker.topics import Topics

    stop, metrics = threading.Event(), Metrics()
    with (
        EmbeddedRedis() as redis,
        MockCluster(_partitions()) as kafka,
        ThreadPoolExecutor(1) as pool,
    ):
        settings = load_settings(None, _assignments(redis.url, kafka.bootstrap)).settings
        seed_history(settings, night.history)
        if board is not None:
            board.start(settings)
        feeder = pool.submit(_feed, settings.kafka.common, night.packets, metrics, stop)
        try:
            run_worker(settings, metrics, stop, test=True)
        finally:
            stop.set()
        feeder.result()
        common, topics = settings.kafka.common, Topics(OUT)
        scores = [read_container(r.value or b"") for r in read_all(common, topics.scores)]
        books = [read_container(r.value or b"") for r in read_all(common, topics.ledger)]
        yield order(scores), balanced_counts(check(books), len(night.packets))
        if board is not None:
            board.linger()


def balanced_counts(report: Report, sent: int) -> dict[str, int]:
    """The ledger's counts; AnomalyWorkerError unless they account for every record sent."""
    counts = {
        "records": report.records,
        "scored": report.total("emitted") + report.total("withheld"),
        "skipped": report.total("skipped"),
        "duplicates": report.total("duplicate"),
        "dead_letters": report.total("dead_letter"),
        "emitted": report.total("emitted"),
    }
    accounted = sum(counts[name] for name in ("scored", "skipped", "duplicates", "dead_letters"))
    if not report.balanced or not sent == report.records == accounted:
        faults = "; ".join(report.faults)
        raise AnomalyWorkerError(f"the books do not balance: {sent} sent, {counts}; {faults}")
    return counts


def seed_history(settings: Any, history: Sequence[bytes]) -> None:
    """Fill the state with the months before; nothing is scored or produced."""
    from worker.commands.seed import seed_packets
    from worker.commands.wiring import connect_store, make_decoder
    from worker.decode.files import record_batches

    store = connect_store(settings)
    batches = record_batches("history", history)
    seed_packets(store, make_decoder(settings), batches, settings.output.programids)
    store.close()


def order(scores: Sequence[Mapping[str, Any]]) -> list[Ranked]:
    """Best alert of each object, strangest first: by p, then by score."""
    from worker.ranking import best_per_object, effective_p

    rows = best_per_object(scores)
    return [Ranked(row["objectId"], effective_p(row), row["score"]) for row in rows]


def table(night: DemoNight, ranking: Sequence[Ranked]) -> str:
    """The two top tens side by side, then every planted object with its places in both."""
    lines = [f"{'':4}  {'by the worker':48}  by amplitude alone"]
    for place in range(TOP):
        left = right = ""
        if place < len(ranking):
            row = ranking[place]
            left = f"{_named(night, row.object_id):38} p {row.p:<8.2g}"
        if place < len(night.by_amplitude):
            name, size = night.by_amplitude[place]
            right = f"{_named(night, name):38} {size:.1f} mag"
        lines.append(f"{place + 1:>4}  {left:48}  {right}".rstrip())
    worker = {row.object_id: place for place, row in enumerate(ranking, 1)}
    amplitude = {name: place for place, (name, _) in enumerate(night.by_amplitude, 1)}
    lines += ["", f"* planted, and their places: {'worker':>22}  amplitude"]
    for name in sorted(night.planted, key=lambda n: worker.get(n, len(worker) + 1)):
        kind, why = night.planted[name]
        places = f"{worker.get(name, '-'):>6}  {amplitude.get(name, '-'):>9}"
        lines.append(f"  {name:14} {kind:24} {places}  {why}")
    return "\n".join(lines)


def summary(result: Mapping[str, float]) -> str:
    """One sentence."""
    return (
        f"{result['records']} records in {result['seconds']} s: {result['scored']} scored, "
        f"{result['skipped']} skipped, {result['duplicates']} duplicates, "
        f"{result['dead_letters']} dead letters; {result['emitted']} alerts emitted; "
        f"{result['planted_in_top10']} of {result['planted']} planted oddities in the top {TOP}"
    )


def _named(night: DemoNight, object_id: str) -> str:
    if object_id in night.planted:
        return f"* {object_id} {night.planted[object_id][0]}"
    return f"  {object_id} {night.kinds.get(object_id, '')}"


def _partitions() -> dict[str, int]:
    from worker.topics import Topics, output_specs

    return {TOPIC: PARTITIONS, **{s.name: s.partitions for s in output_specs(Topics(OUT), 4, 1)}}


def _assignments(redis_url: str, bootstrap: str) -> list[str]:
    return [
        f"kafka.common.bootstrap.servers={bootstrap}",
        f"redis.url={redis_url}",
        "redis.mode=single",
        "delivery=at-least-once",
        "source.survey=simulated",
        f'source.topics=["{TOPIC}"]',
        f"output.topic={OUT}",
        "worker.group=demo",
        "worker.metrics_port=0",
    ]


def _feed(
    config: Mapping[str, str | int | float | bool],
    packets: Sequence[bytes],
    metrics: Any,
    stop: threading.Event,
) -> None:
    """Produce the night no faster than it is worked off; ask for a stop behind its end."""
    from worker.kafka import produce_all
    from worker.types.records import Message

    def settled() -> int:
        return int(sum(metrics.outcome_totals().values()))

    try:
        for start in range(0, len(packets), PRODUCE_BATCH):
            while start - settled() > MAX_LAG and not stop.wait(0.02):
                pass
            values = packets[start : start + PRODUCE_BATCH]
            produce_all(config, [Message(TOPIC, None, value) for value in values])
        while settled() < len(packets) and not stop.wait(0.02):
            pass
    finally:
        stop.set()
