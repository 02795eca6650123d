"""`bench visit`: visits of an observatory, paced; from broker timestamp to committed output."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import click

from worker.commands.bench.options import FILES, MEDIAN, P95, SCORING, server_options
from worker.commands.options import json_option

DRAIN_S = 600.0
LEAD = 500
"""Alerts before the first visit: a worker in service has joined its group and is warm."""

AT_ONCE = (1, LEAD, 0.0, None)
REST_S = 30.0
"""How long the reader may lag behind the last commit."""


@click.command()
@FILES
@click.option("--visits", default=3, show_default=True, type=click.IntRange(1))
@click.option("--alerts", default=10_000, show_default=True, type=click.IntRange(1),
              help="Alerts of one visit.")  # fmt: skip
@click.option("--seconds", default=30.0, show_default=True,
              help="Seconds from visit to visit; alerts come evenly within them.")  # fmt: skip
@click.option("--burst", is_flag=True, help="All alerts of a visit at once.")
@MEDIAN
@P95
@server_options
@SCORING
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64))
@json_option
def visit(
    files: tuple[Path, ...],
    visits: int,
    alerts: int,
    seconds: float,
    median: float,
    p95: float,
    bootstrap: str | None,
    redis_url: str | None,
    assignments: tuple[str, ...],
    scoring: Any,
    workers: int,
    *,
    burst: bool,
    as_json: bool,
) -> None:
    """Latency of visits: p50, p99 and the largest, and whether anything was lost.

    A few alerts go before and are not timed: the worker has joined its group by then.
    """
    from worker.commands.bench.field import Night, say
    from worker.commands.bench.servers import servers

    night = Night.of(files, LEAD + visits * alerts, median, p95)
    say(f"{visits} visits of {alerts} alerts every {seconds:g} s")
    with servers(bootstrap, redis_url) as here:
        pace = None if burst else seconds / alerts
        result = observe(night, here, (visits, alerts, seconds, pace), scoring, workers,
                         assignments)  # fmt: skip
    click.echo(json.dumps(result) if as_json else text_of(result))


def observe(
    night: Any, here: Any, plan: Any, scoring: Any, workers: int, extra: Sequence[str]
) -> dict[str, Any]:
    """Feed the visits while a reader times what comes out."""
    from worker.commands.bench.crew import crew
    from worker.commands.bench.field import OUT, TOPIC, make_scene
    from worker.commands.bench.pipeline import check, result_of

    values, _ = make_scene(here, "visit", night, scoring, extra)
    watch = Watch(here.bootstrap, f"{OUT}.visit.scores")
    with crew(values, scoring, workers) as team:
        watch.start()
        feed(here.bootstrap, f"{TOPIC}.visit", islice(night.packets(), LEAD), AT_ONCE)
        team.await_records(LEAD, DRAIN_S)
        sent = feed(here.bootstrap, f"{TOPIC}.visit", night.packets(LEAD), plan)
        team.await_records(night.alerts, DRAIN_S)
        reports = team.finish()
    checked = check(here.bootstrap, f"{OUT}.visit", night.alerts)
    latencies = watch.finish(sent, checked["emitted"] + checked["withheld"])
    result = result_of(reports, night.alerts, [])
    visits, alerts, seconds, pace = plan
    return {
        **{name: result[name] for name in ("alerts", "seconds", "alerts_per_s", "cores", "model")},
        **quantiles(latencies),
        "lost": night.alerts - sum(checked[n] for n in _ENDS),
        "visits": visits, "alerts_per_visit": alerts, "visit_seconds": seconds,
        "burst": pace is None, "scoring": scoring, "workers": workers, "timed": len(latencies),
    }  # fmt: skip


_ENDS = ("emitted", "withheld", "skipped", "duplicate")


def feed(
    bootstrap: str, topic: str, packets: Iterator[tuple[str, bytes]], plan: Any
) -> dict[tuple[int, int], int]:
    """Produce the visits at their pace; the broker timestamp of each packet."""
    from worker.commands.bench.field import Feeder

    _, alerts, seconds, pace = plan
    feeder, started = Feeder(bootstrap, topic), time.monotonic()
    for number, (_, value) in enumerate(packets):
        due = started + number // alerts * seconds + (number % alerts) * (pace or 0.0)
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        feeder.send(value)
    feeder.flush()
    return feeder.sent_ms


class Watch:
    """Reads committed scores as they come and times each from its input's broker timestamp."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap, self._topic = bootstrap, topic
        self._seen: list[tuple[float, bytes]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def finish(self, sent_ms: dict[tuple[int, int], int], expected: int) -> list[float]:
        """Wait for the rest; seconds of each scored alert."""
        from worker.encode import read_container

        deadline = time.monotonic() + REST_S
        while len(self._seen) < expected and time.monotonic() < deadline:
            time.sleep(0.1)
        self._stop.set()
        self._thread.join()
        result = []
        for seen_s, value in self._seen:
            score = read_container(value)
            where = score["input_partition"], score["input_offset"]
            if where in sent_ms:
                result.append(seen_s - sent_ms[where] / 1000)
        return result

    def _read(self) -> None:
        from confluent_kafka import Consumer

        consumer = Consumer(
            {"bootstrap.servers": self._bootstrap, "group.id": "bench.watch",
             "auto.offset.reset": "earliest", "isolation.level": "read_committed",
             "fetch.wait.max.ms": 20, "enable.auto.commit": False}
        )  # fmt: skip
        consumer.subscribe([self._topic])
        while not self._stop.is_set():
            messages = consumer.consume(500, 0.05)
            now_s = time.time()
            self._seen += [(now_s, m.value() or b"") for m in messages if m.error() is None]
        consumer.close()


def quantiles(latencies: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum, seconds."""
    import numpy as np

    p50, p99, largest = np.quantile(latencies, [0.5, 0.99, 1.0]) if latencies else (np.nan,) * 3
    return {"p50_s": round(float(p50), 3), "p99_s": round(float(p99), 3),
            "max_s": round(float(largest), 3)}  # fmt: skip


def text_of(result: dict[str, Any]) -> str:
    """The result for people."""
    shape = "at once" if result["burst"] else "evenly"
    return f"""\
{result["visits"]} visits of {result["alerts_per_visit"]} alerts every \
{result["visit_seconds"]:g} s, {shape} ({result["scoring"]})
p50 {result["p50_s"]} s, p99 {result["p99_s"]} s, max {result["max_s"]} s, {result["lost"]} lost"""
