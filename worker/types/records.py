"""What Kafka hands in and takes: records by position, messages to produce."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from worker.types.arrays import Int32, Int64

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True, order=True)
class TopicPartition:
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records as received, one row per record, in the order of each partition.

    `source` (N,) indexes `partitions`; `offsets` (N,) int64; `timestamps_ms` (N,) int64,
    broker timestamp in Unix ms, -1 if unknown; `values`, `keys`, `headers`: N entries each.
    `starts` maps every partition of the batch to the position before the batch (the ledger's
    `start`, which may be below the first offset when offsets hold no record).
    A file counts as one partition whose offset is the index of the record in it.
    """

    partitions: Sequence[TopicPartition]
    source: Int32
    offsets: Int64
    timestamps_ms: Int64
    values: Sequence[bytes]
    keys: Sequence[bytes | None]
    headers: Sequence[Headers]
    starts: Mapping[TopicPartition, int]

    @classmethod
    def empty(cls) -> Self:
        """No records."""
        rows, numbers = np.empty(0, np.int32), np.empty(0, np.int64)
        return cls([], rows, numbers, numbers, [], [], [], {})

    def __len__(self) -> int:
        return len(self.values)

    @property
    def next_offsets(self) -> dict[TopicPartition, int]:
        """Last offset + 1 of every partition that has a record here: what a commit names."""
        result: dict[TopicPartition, int] = {}
        for row, source in enumerate(self.source.tolist()):
            result[self.partitions[source]] = int(self.offsets[row]) + 1
        return result


@dataclass(frozen=True, slots=True)
class Message:
    """One record to produce."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default=())
