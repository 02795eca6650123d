"""The run loop over packets in memory: a real Redis, no Kafka. For costs per alert, not rates."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from worker.commands.bench.field import Night
from worker.commands.bench.servers import cpu_seconds
from worker.types.records import Message, RecordBatch, TopicPartition
from worker.types.scores import Scorer

INPUT = TopicPartition("bench", 0)
BROKER_MS = 1_764_000_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds per alert: elapsed, and processor time of the loop and of Redis."""

    elapsed: float
    loop: float
    redis: float

    @property
    def processor(self) -> float:
        """Processor time of both."""
        return self.loop + self.redis


class MemorySource:
    """Packets in batches, once; sets `stop` behind the last one."""

    def __init__(self, values: Iterator[bytes], size: int, stop: threading.Event) -> None:
        self._values, self._size, self._stop = values, size, stop
        self._next = 0

    def poll_batch(self) -> RecordBatch:
        """The next batch; empty at the end."""
        batch = self.read_ahead()
        if not len(batch):
            self._stop.set()
        return batch

    def read_ahead(self) -> RecordBatch:
        """The next batch."""
        values = list(islice(self._values, self._size))
        start, count = self._next, len(values)
        self._next += count
        return RecordBatch(
            partitions=[INPUT],
            source=np.zeros(count, dtype=np.int32),
            offsets=np.arange(start, start + count, dtype=np.int64),
            timestamps_ms=np.full(count, BROKER_MS),
            values=values,
            keys=[None] * count,
            headers=[()] * count,
            starts={INPUT: start},
        )

    def advance(self) -> None:
        """Nothing is read twice."""

    def replayed_below(self, _partition: TopicPartition) -> int:
        """Nothing was committed before."""
        return 0

    def heartbeat(self) -> None:
        """There is no membership to keep."""

    def rewind(self) -> None:
        """Nothing is aborted."""


class Nowhere:
    """A sink that counts bytes."""

    def __init__(self) -> None:
        self.bytes = 0

    def commit(
        self, messages: Sequence[Message], next_offsets: Mapping[TopicPartition, int]
    ) -> None:
        """Count."""
        del next_offsets
        self.bytes += sum(len(message.value or b"") for message in messages)


def run_in_memory(
    settings: Any, store: Any, scorer: Scorer, night: Night, pids: Sequence[int], size: int
) -> Cost:
    """The loop over a night, batches of `size`; the first two only warm up."""
    from worker.commands.wiring import make_loop
    from worker.metrics import Metrics
    from worker.reuse import reuse_memory

    values = (value for _, value in night.packets())

    def drain(some: Iterator[bytes]) -> None:
        stop = threading.Event()
        source = MemorySource(some, size, stop)
        make_loop(settings, source, Nowhere(), store, scorer, Metrics(), stop, limits={}).run()

    reuse_memory()
    drain(islice(values, 2 * size))
    measured = list(values)
    redis_s = sum(cpu_seconds(pids))
    started, loop_s = time.perf_counter(), time.process_time()
    drain(iter(measured))
    scale = 1e6 / len(measured)
    return Cost(
        elapsed=round(scale * (time.perf_counter() - started), 1),
        loop=round(scale * (time.process_time() - loop_s), 1),
        redis=round(scale * (sum(cpu_seconds(pids)) - redis_s), 1),
    )
