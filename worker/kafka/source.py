"""Input: subscription, start positions, batches, rewinding."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
)
from confluent_kafka import TopicPartition as Position

from worker.batch import Batcher, Received
from worker.errors import AnomalyWorkerError, ConfigError, RestartRequiredError, TransientError
from worker.kafka.client import SourceSettings, classified, consumer_config
from worker.start import start_of
from worker.topics import nightly_topics
from worker.types import RecordBatch, TopicPartition

log = logging.getLogger(__name__)

Marks = Callable[[Sequence[TopicPartition]], Mapping[TopicPartition, int | None]]

CONSUME_CHUNK = 128
"""Messages per client call: the client is fastest between 64 and 512 (specification: 5.3)."""

CONSUME_SLICE_S = 0.1
QUERY_TIMEOUT_S = 10.0


class KafkaSource:
    """A member of a consumer group that knows where every partition stands."""

    def __init__(
        self, settings: SourceSettings, config: Mapping[str, str | int | float | bool], marks: Marks
    ) -> None:
        self._settings, self._marks = settings, marks
        self._positions: dict[TopicPartition, int] = {}
        self._floors: dict[TopicPartition, int] = {}
        self._batch_starts: dict[TopicPartition, int] = {}
        self._pending: list[Any] = []
        self._batcher = Batcher(settings.limits)
        self._subscribed: list[str] = []
        self._refresh_at = 0.0
        self._paused = False
        self._failure: AnomalyWorkerError | None = None
        self.lost_to_retention: dict[TopicPartition, int] = {}
        self.state_gap: dict[TopicPartition, int] = {}
        try:
            self._consumer = Consumer(consumer_config(settings, config), logger=log)
        except (KafkaException, ValueError, TypeError) as error:
            raise ConfigError(f"kafka settings: {error}") from error

    def poll_batch(self) -> RecordBatch:
        """The next batch; empty when nothing came within the wait.

        Raises TransientError while the broker is away, ConfigError or RestartRequiredError for
        what a callback met.
        """
        self._refresh()
        self._resume()
        self._batcher = Batcher(self._settings.limits)
        self._batch_starts = dict(self._positions)
        deadline = time.monotonic() + self._settings.limits.max_wait_s
        while not self._batcher.closed(now := time.monotonic()):
            if not len(self._batcher) and now >= deadline:
                break
            for message in self._consume(min(self._batcher.room(), CONSUME_CHUNK)):
                self._take(message)
        starts = {
            tp: max(start, self._floors.get(tp, start)) for tp, start in self._batch_starts.items()
        }
        return self._batcher.batch(starts)

    def replayed_below(self, partition: TopicPartition) -> int:
        """The committed offset at assignment: what lies below only rebuilds the state."""
        return self._floors.get(partition, 0)

    def heartbeat(self) -> None:
        """Keep the membership while the loop waits for something else."""
        if not self._paused and self._positions:
            self._consumer.pause([Position(tp.topic, tp.partition) for tp in self._positions])
            self._paused = True
        # A partition assigned just now isn't paused: keep what it brings for the next batch.
        self._pending += self._consumer.consume(1, 0)

    def rewind(self) -> None:
        """Go back to where the last batch began: its transaction left no trace."""
        for tp, start in self._batch_starts.items():
            if tp in self._positions:
                self._consumer.seek(Position(tp.topic, tp.partition, start))
                self._positions[tp] = start
        self._pending = []

    def group_metadata(self) -> Any:
        """What a transaction needs to commit offsets for this member."""
        return self._consumer.consumer_group_metadata()

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Commit offsets outside of a transaction; raises KafkaException."""
        offsets = [Position(tp.topic, tp.partition, n) for tp, n in next_offsets.items()]
        self._consumer.commit(offsets=offsets, asynchronous=False)

    def lag(self) -> dict[TopicPartition, int]:
        """Records between the position and the end, per assigned partition (last known)."""
        result = {}
        for tp, position in self._positions.items():
            _, high = self._consumer.get_watermark_offsets(
                Position(tp.topic, tp.partition), cached=True
            )
            result[tp] = max(0, high - position)
        return result

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _consume(self, count: int) -> list[Any]:
        messages, self._pending = self._pending[:count], self._pending[count:]
        if not messages:
            try:
                messages = self._consumer.consume(count, CONSUME_SLICE_S)
            except KafkaException as error:
                raise classified(error.args[0]) from error
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return messages

    def _take(self, message: Any) -> None:
        tp = TopicPartition(message.topic(), message.partition())
        error = message.error()
        if error is not None:
            self._handle_error(tp, error)
            return
        if tp not in self._positions:
            return  # taken away while its messages were on their way
        received = Received(
            partition=tp,
            offset=message.offset(),
            timestamp_ms=message.timestamp()[1],
            key=message.key(),
            value=message.value() or b"",
            headers=tuple((name, value or b"") for name, value in message.headers() or ()),
        )
        self._batcher.add(received, time.monotonic())
        self._positions[tp] = received.offset + 1

    def _handle_error(self, tp: TopicPartition, error: KafkaError) -> None:
        code = error.code()
        if code in (KafkaError._PARTITION_EOF, KafkaError.UNKNOWN_TOPIC_OR_PART):  # noqa: SLF001
            return
        if code == KafkaError._AUTO_OFFSET_RESET and tp in self._positions:  # noqa: SLF001
            low, _ = self._watermarks(tp)
            self._lose(tp, low - self._positions[tp])
            self._positions[tp] = self._batch_starts[tp] = low
            self._consumer.seek(Position(tp.topic, tp.partition, low))
            return
        raise classified(error)

    def _refresh(self) -> None:
        """Subscribe to those of our topics that exist; looked up now and then."""
        now = time.monotonic()
        if now < self._refresh_at:
            return
        self._refresh_at = now + self._settings.refresh_s
        try:
            existing = self._consumer.list_topics(timeout=QUERY_TIMEOUT_S).topics
        except KafkaException as error:
            self._refresh_at = 0.0
            raise classified(error.args[0]) from error
        wanted = [topic for topic in self._wanted() if topic in existing]
        if wanted == self._subscribed:
            return
        log.info("subscribing to %s", ", ".join(wanted) or "nothing yet")
        self._subscribed = wanted
        if wanted:
            self._consumer.subscribe(
                wanted, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
        else:
            self._consumer.unsubscribe()

    def _wanted(self) -> list[str]:
        names = list(self._settings.topics)
        if self._settings.topic_template is not None:
            names += nightly_topics(
                self._settings.topic_template,
                self._settings.programids,
                self._settings.nights,
                time.time(),
            )
        if self._settings.redrive_topic is not None:
            names.append(self._settings.redrive_topic)
        return list(dict.fromkeys(names))

    def _on_assign(self, consumer: Consumer, assigned: list[Position]) -> None:
        """Give each new partition its start; a failure is raised by the next poll."""
        try:
            partitions = [TopicPartition(p.topic, p.partition) for p in assigned]
            committed = consumer.committed(assigned, timeout=QUERY_TIMEOUT_S)
            marks = self._marks(partitions)
            for tp, position in zip(partitions, committed, strict=True):
                self._assign(tp, position.offset, marks[tp])
            consumer.incremental_assign(
                [Position(tp.topic, tp.partition, self._positions[tp]) for tp in partitions]
            )
        except AnomalyWorkerError as error:
            self._fail_assignment(consumer, assigned, error)
        except KafkaException as error:
            self._fail_assignment(consumer, assigned, classified(error.args[0]))

    def _fail_assignment(
        self, consumer: Consumer, assigned: list[Position], error: AnomalyWorkerError
    ) -> None:
        """Hold the partitions paused; what can't be read right now must not be skipped.

        A transient failure ends the process too: the restart joins again and asks again.
        """
        consumer.incremental_assign([Position(p.topic, p.partition, 0) for p in assigned])
        consumer.pause(assigned)
        self._failure = (
            RestartRequiredError(f"assignment failed: {error}")
            if isinstance(error, TransientError)
            else error
        )

    def _assign(self, tp: TopicPartition, offset: int, mark: int | None) -> None:
        committed = None if offset < 0 else offset
        low, high = self._watermarks(tp)
        requested = self._requested(tp, low, high, mark) if committed is None else None
        start = start_of(tp, committed, mark, low, requested)
        self._positions[tp] = self._batch_starts[tp] = start.position
        self._floors[tp] = start.floor
        if start.lost_to_retention:
            self._lose(tp, start.lost_to_retention)
        if start.state_gap:
            log.error("state_gap: %s lacks %d records that are gone", tp, start.state_gap)
            self.state_gap[tp] = self.state_gap.get(tp, 0) + start.state_gap
        log.info(
            "assigned %s/%d from %d (committed %s)", tp.topic, tp.partition, start.position,
            committed,
        )  # fmt: skip

    def _requested(self, tp: TopicPartition, low: int, high: int, mark: int | None) -> int | None:
        """The offset that --start-at names for a partition without a committed one."""
        wanted = self._settings.start_at
        if wanted is None:
            return None
        if wanted in {"earliest", "latest", "stored"}:
            return {"earliest": low, "latest": high, "stored": low if mark is None else mark}[
                wanted
            ]
        try:
            moment_ms = int(datetime.fromisoformat(wanted).timestamp() * 1000)
        except ValueError as error:
            raise ConfigError(f"--start-at {wanted}: no ISO time") from error
        (found,) = self._consumer.offsets_for_times(
            [Position(tp.topic, tp.partition, moment_ms)], timeout=QUERY_TIMEOUT_S
        )
        return found.offset if found.offset >= 0 else high

    def _watermarks(self, tp: TopicPartition) -> tuple[int, int]:
        low, high = self._consumer.get_watermark_offsets(
            Position(tp.topic, tp.partition), timeout=QUERY_TIMEOUT_S
        )
        return (0 if low == OFFSET_INVALID else low), high

    def _lose(self, tp: TopicPartition, count: int) -> None:
        log.error("lost_to_retention: %s/%d lost %d records unread", tp.topic, tp.partition, count)
        self.lost_to_retention[tp] = self.lost_to_retention.get(tp, 0) + max(0, count)

    def _on_revoke(self, _consumer: Consumer, revoked: list[Position]) -> None:
        for position in revoked:
            tp = TopicPartition(position.topic, position.partition)
            self._positions.pop(tp, None)
            self._floors.pop(tp, None)
            self._batch_starts.pop(tp, None)
            self._batcher.drop(tp)
        gone = {(p.topic, p.partition) for p in revoked}
        self._pending = [m for m in self._pending if (m.topic(), m.partition()) not in gone]

    def _on_lost(self, consumer: Consumer, lost: list[Position]) -> None:
        log.warning("lost %d partitions", len(lost))
        self._on_revoke(consumer, lost)

    def _resume(self) -> None:
        if self._paused:
            self._consumer.resume([Position(tp.topic, tp.partition) for tp in self._positions])
            self._paused = False
