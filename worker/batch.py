"""When a batch closes. Pure: the time is passed in."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from worker.types.records import Headers, RecordBatch, TopicPartition


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """A batch closes at the first of these; the wait counts from its first record."""

    max_records: int = 256
    max_bytes: int = 64 * 1024 * 1024
    max_wait_s: float = 0.25


@dataclass(frozen=True, slots=True)
class Received:
    """One record as the client hands it over."""

    partition: TopicPartition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: Headers


class Batcher:
    """Collects records until a limit is reached."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._records: list[Received] = []
        self._bytes = 0
        self._closes_at = float("inf")

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: Received, now_s: float) -> None:
        """Take one record."""
        if not self._records:
            self._closes_at = now_s + self._limits.max_wait_s
        self._records.append(record)
        self._bytes += len(record.value)

    def room(self) -> int:
        """Records that still fit."""
        return self._limits.max_records - len(self._records)

    def closed(self, now_s: float) -> bool:
        """Whether the batch is to be worked on now."""
        return self.room() <= 0 or self._bytes >= self._limits.max_bytes or now_s >= self._closes_at

    def drop(self, partition: TopicPartition) -> None:
        """Forget the records of a partition that was taken away."""
        self._records = [r for r in self._records if r.partition != partition]
        self._bytes = sum(len(r.value) for r in self._records)

    def batch(self, starts: Mapping[TopicPartition, int]) -> RecordBatch:
        """The columns of what was collected; `starts`: position before, per partition."""
        records = self._records
        partitions = list(dict.fromkeys(r.partition for r in records))
        index = {partition: number for number, partition in enumerate(partitions)}
        return RecordBatch(
            partitions=partitions,
            source=np.array([index[r.partition] for r in records], dtype=np.int32),
            offsets=np.array([r.offset for r in records], dtype=np.int64),
            timestamps_ms=np.array([r.timestamp_ms for r in records], dtype=np.int64),
            values=[r.value for r in records],
            keys=[r.key for r in records],
            headers=[r.headers for r in records],
            starts={partition: starts[partition] for partition in partitions},
        )
