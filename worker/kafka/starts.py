"""Asks the broker and the state where a partition starts."""

from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as Position

from worker.kafka.client import QUERY_TIMEOUT_S, classified
from worker.start import Start, parsed_start_at, start_of
from worker.types.records import TopicPartition

Marks = Callable[[Sequence[TopicPartition]], Mapping[TopicPartition, int | None]]


def position_of(tp: TopicPartition, offset: int) -> Position:
    """The client's word for a partition and an offset in it."""
    return Position(tp.topic, tp.partition, offset)


class StartFinder:
    """Committed offsets, marks and the log's ends in, starts out.

    Its methods raise KafkaException or TransientError while somebody doesn't answer, and
    ConfigError where only a person can decide.
    """

    def __init__(self, consumer: Consumer, marks: Marks, start_at: str | None) -> None:
        self._consumer, self._marks = consumer, marks
        self._start_at = None if start_at is None else parsed_start_at(start_at)

    def find(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Start]:
        """Where newly assigned partitions start."""
        committed = self._consumer.committed(
            [position_of(tp, 0) for tp in partitions], timeout=QUERY_TIMEOUT_S
        )
        marks = self._marks(partitions)
        starts = {}
        for tp, position in zip(partitions, committed, strict=True):
            if position.error is not None:
                # An offset that can't be told is not an offset that isn't there.
                raise classified(position.error)
            known = None if position.offset < 0 else position.offset
            low, high = self._watermarks(tp)
            requested = self._requested(tp, low, high, marks[tp]) if known is None else None
            starts[tp] = start_of(
                tp, committed=known, mark=marks[tp], low=low, high=high, requested=requested
            )
        return starts

    def resume(self, tp: TopicPartition, position: int, floor: int) -> Start:
        """Where a partition goes on that was at `position`: there, if the log still holds it."""
        low, high = self._watermarks(tp)
        return start_of(tp, committed=max(position, floor), mark=position, low=low, high=high)

    def _requested(self, tp: TopicPartition, low: int, high: int, mark: int | None) -> int | None:
        """The offset that --start-at names."""
        if self._start_at is None:
            return None
        if isinstance(self._start_at, str):
            words = {"earliest": low, "latest": high, "stored": low if mark is None else mark}
            return words[self._start_at]
        (found,) = self._consumer.offsets_for_times(
            [position_of(tp, self._start_at)], timeout=QUERY_TIMEOUT_S
        )
        return high if found.offset < 0 else int(found.offset)

    def _watermarks(self, tp: TopicPartition) -> tuple[int, int]:
        low, high = self._consumer.get_watermark_offsets(
            position_of(tp, 0), timeout=QUERY_TIMEOUT_S
        )
        return max(0, low), high
