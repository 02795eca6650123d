"""Batches that were read and not settled: the last one, and what was read ahead of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.types.records import TopicPartition


@dataclass(slots=True)
class Reading:
    """Positions before a batch, and the generation of the group in which it was read."""

    starts: dict[TopicPartition, int]
    metadata: Any = None


class Readings:
    """Oldest first: a commit is about the first, a rewind about all."""

    def __init__(self) -> None:
        self._unsettled: list[Reading] = []

    @property
    def last(self) -> Reading:
        """The batch that is being worked on."""
        return self._unsettled[0]

    @property
    def starts(self) -> dict[TopicPartition, int]:
        """Positions before the last batch and before what was read ahead; the older count."""
        result: dict[TopicPartition, int] = {}
        for reading in reversed(self._unsettled):
            result.update(reading.starts)
        return result

    def begin(self, positions: Mapping[TopicPartition, int], *, ahead: bool) -> Reading:
        """A batch is being read from here on; unless it is ahead, all others are settled."""
        if not ahead:
            self._unsettled.clear()
        self._unsettled.append(Reading(dict(positions)))
        return self._unsettled[-1]

    def advance(self) -> None:
        """Settle all but the newest."""
        del self._unsettled[:-1]

    def drop(self, partition: TopicPartition) -> None:
        """Forget a partition that was taken away."""
        for reading in self._unsettled:
            reading.starts.pop(partition, None)
