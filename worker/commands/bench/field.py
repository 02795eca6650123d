"""What the benchmarks of the whole pipeline share: input in Kafka, histories in Redis, settings."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from confluent_kafka import Producer

from worker.commands.bench.crew import PARTITIONS
from worker.commands.bench.night import Template, histories, night, templates
from worker.config import load_settings
from worker.errors import UnavailableError

TOPIC, OUT, GROUP = "bench.alerts", "bench.anomaly", "bench"


@dataclass(frozen=True, slots=True)
class Night:
    """The input: packets of `pool`, multiplied; histories of log-normal lengths per band."""

    pool: Sequence[Template]
    alerts: int
    objects: int
    median: float
    p95: float
    seed: int

    @classmethod
    def of(
        cls, files: Sequence[Path], alerts: int, median: float, p95: float, seed: int = 1
    ) -> "Night":
        """Of these files, or simulated; as many objects per alert as in BOOM's benchmark."""
        objects = max(1, round(alerts * 27_948 / 29_142))
        return cls(templates(files, seed), alerts, objects, median, p95, seed)

    def packets(self, first: int = 0) -> Iterator[tuple[str, bytes]]:
        """Names and packets from the `first` on."""
        for number, packet in enumerate(night(self.pool, self.alerts, self.objects)):
            if number >= first:
                yield packet

    @property
    def mean_bytes(self) -> float:
        """Mean size of a packet of the pool."""
        return sum(len(template.value) for template in self.pool) / len(self.pool)


def assignments(
    bootstrap: str, redis_url: str, prefix: str, extra: Sequence[str] = ()
) -> list[str]:
    """The worker's settings; `extra` wins.

    The packets are of no survey that the packaged model is calibrated for: at the default
    percentile it would emit a fifth, at this one about one in a hundred, as on its own stream.
    """
    return [
        f"kafka.common.bootstrap.servers={bootstrap}",
        f"redis.url={redis_url}",
        f"redis.prefix={prefix}:",
        f'source.topics=["{TOPIC}.{prefix}"]',
        "source.survey=simulated",
        "output.min_percentile=99.9",
        "source.start_at=earliest",
        f"output.topic={OUT}.{prefix}",
        "output.create_topics=true",
        f"worker.group={GROUP}.{prefix}",
        "batch.max_records=1024",
        *extra,
    ]


def seed_state(values: Sequence[str], input_night: Night) -> int:
    """Fill Redis with the night's histories; the number of detections."""
    from worker.commands.wiring import connect_store

    store = connect_store(load_settings(None, values).settings)
    count = 0
    for names, points, band in histories(
        input_night.pool, input_night.objects, input_night.median, input_night.p95,
        input_night.seed,
    ):  # fmt: skip
        store.seed(names, points, band)
        count += len(points)
    store.close()
    return count


def make_input(bootstrap: str, topic: str) -> None:
    """The input topic, BOOM's way: 15 partitions."""
    from worker.kafka import create_topics
    from worker.topics import TopicSpec

    create_topics({"bootstrap.servers": bootstrap}, [TopicSpec(topic, PARTITIONS, 1, {})])


def make_scene(
    here: Any, prefix: str, night: Night, scoring: str, extra: Sequence[str]
) -> tuple[list[str], int]:
    """The state before a night, on an input topic and Redis prefix of its own.

    Returns the worker's settings and the number of detections.
    """
    from worker.commands.bench.memos import seed_memos

    values = assignments(here.bootstrap, here.redis_url, prefix, extra)
    make_input(here.bootstrap, f"{TOPIC}.{prefix}")
    detections = seed_state(values, night)
    say(f"{detections} detections seeded, {detections / night.objects / 2:.0f} per object and band")
    if scoring != "stub":
        say(f"{seed_memos(values, night)} period blocks seeded")
    return values, detections


class Feeder:
    """Produces packets without a key, round robin over the partitions.

    `sent_ms`: the broker timestamp of every record, by partition and offset.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic, self._number, self.failed = topic, 0, 0
        self.sent_ms: dict[tuple[int, int], int] = {}
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "linger.ms": 5,
                "batch.size": 1_000_000,
                "queue.buffering.max.kbytes": 256 * 1024,
                "acks": "all",
            }
        )

    def send(self, value: bytes) -> None:
        """One packet; waits while the client's queue is full."""
        partition, self._number = self._number % PARTITIONS, self._number + 1
        while True:
            try:
                self._producer.produce(
                    self._topic, value, partition=partition, on_delivery=self._delivered
                )
            except BufferError:
                self._producer.poll(0.05)
                continue
            self._producer.poll(0)
            return

    def flush(self) -> None:
        """Wait for all acknowledgements; UnavailableError when one is missing."""
        if self._producer.flush(120) or self.failed:
            raise UnavailableError("the benchmark's input was not taken by the broker")

    def _delivered(self, error: object, message: Any) -> None:
        self.failed += error is not None
        self.sent_ms[message.partition(), message.offset()] = message.timestamp()[1]


def produce(bootstrap: str, topic: str, packets: Iterator[tuple[str, bytes]]) -> float:
    """All packets; seconds that it took."""
    started, feeder = time.monotonic(), Feeder(bootstrap, topic)
    for _, value in packets:
        feeder.send(value)
    feeder.flush()
    return time.monotonic() - started


def say(text: str) -> None:
    """Progress, beside the result."""
    click.echo(text, err=True)
