"""Input: subscription, start positions, batches, rewinding."""

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException

from worker.batch import Batcher, Received
from worker.errors import AnomalyWorkerError, BatchAbortedError, ConfigError, TransientError
from worker.kafka.client import (
    HARMLESS,
    REJOINING,
    SourceSettings,
    check_each,
    classified,
    client_log,
    close_in_time,
    consumer_config,
)
from worker.kafka.readings import Readings
from worker.kafka.starts import Marks, StartFinder, position_of
from worker.kafka.subscription import Subscription
from worker.start import Start
from worker.types.records import RecordBatch, TopicPartition

log = logging.getLogger(__name__)

CONSUME_CHUNK = 128
"""Messages per client call: the client is fastest between 64 and 512 (specification: 5.3)."""

CONSUME_SLICE_S = 0.1


class KafkaSource:
    """A member of a consumer group that knows where every partition stands.

    A new partition stays paused until its start is known: the answer may need the broker and
    Redis to be there, and the wait for them must not cost the membership.
    """

    def __init__(
        self, settings: SourceSettings, config: Mapping[str, str | int | float | bool], marks: Marks
    ) -> None:
        self._limits = settings.limits
        self._positions: dict[TopicPartition, int] = {}
        self._floors: dict[TopicPartition, int] = {}
        self._readings = Readings()
        self._assigned: set[TopicPartition] = set()
        self._astray: set[TopicPartition] = set()
        self._held: list[Any] = []
        self._batcher = Batcher(settings.limits)
        self._paused = False
        self._failure: AnomalyWorkerError | None = None
        self.lost_to_retention: dict[TopicPartition, int] = {}
        self.state_gap: dict[TopicPartition, int] = {}
        client = {**consumer_config(settings, config), "error_cb": self._on_error}
        try:
            self._consumer = Consumer(client, logger=client_log)
        except (KafkaException, ValueError, TypeError) as error:
            raise ConfigError(f"kafka settings: {error}") from error
        self._starts = StartFinder(self._consumer, marks, settings.start_at)
        self._subscription = Subscription(
            self._consumer,
            settings,
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def poll_batch(self) -> RecordBatch:
        """The next batch; empty when nothing came within the wait.

        Raises TransientError while the broker or the state is away, ConfigError or
        RestartRequiredError for what only a person or a new process can mend. An error never
        costs records: what was collected before it is returned first.
        """
        return self._read(self._limits.max_wait_s)

    def read_ahead(self) -> RecordBatch:
        """What waits already, while the last batch is still worked on; errors as above.

        The last batch stays the one that `rewind` and a commit are about, until `advance`.
        """
        return self._read(0.0)

    def advance(self) -> None:
        """The batch that was read ahead is now the last one."""
        self._readings.advance()

    def replayed_below(self, partition: TopicPartition) -> int:
        """The committed offset at assignment: what lies below only rebuilds the state."""
        return self._floors.get(partition, 0)

    def heartbeat(self) -> None:
        """Keep the membership while the loop waits for something else."""
        if not self._paused and self._positions:
            self._consumer.pause([position_of(tp, 0) for tp in self._positions])
            self._paused = True
        # A partition assigned just now isn't paused: keep what it brings for the next batch.
        self._held += self._consume_some(1, 0)
        if isinstance(self._failure, TransientError):
            self._failure = None  # the loop is waiting already
        self._raise_failure()

    def rewind(self) -> None:
        """Go back to where the last batch began: its transaction left no trace."""
        self._go_back(self._readings.starts)

    def group_metadata(self) -> Any:
        """What a transaction needs to commit the last batch's offsets for this member."""
        return self._readings.last.metadata

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Commit offsets outside of a transaction; BatchAbortedError when they aren't taken."""
        if not next_offsets.keys() <= self._readings.last.starts.keys():
            raise BatchAbortedError("kafka: a partition of the batch was taken away")
        offsets = [position_of(tp, offset) for tp, offset in next_offsets.items()]
        try:
            check_each(self._consumer.commit(offsets=offsets, asynchronous=False))
        except KafkaException as error:
            raise BatchAbortedError(f"kafka: {error.args[0].str()}") from error

    def lag(self) -> dict[TopicPartition, int]:
        """Offsets between the position and the last known end, per assigned partition."""
        result = {}
        for tp, position in self._positions.items():
            _, high = self._consumer.get_watermark_offsets(position_of(tp, 0), cached=True)
            result[tp] = max(0, high - position)
        return result

    def close(self) -> None:
        """Leave the group (a static member keeps its place until its session ends)."""
        close_in_time(self._consumer.close)

    def _read(self, wait_s: float) -> RecordBatch:
        self._raise_failure()
        self._subscription.refresh()
        self._place()
        self._resume()
        self._batcher = Batcher(self._limits)
        reading = self._readings.begin(self._positions, ahead=not wait_s)
        self._fill(wait_s)
        if not len(self._batcher):
            self._raise_failure()
        # The generation in which the records were read: a commit under a later one would
        # let through what another member has read meanwhile.
        reading.metadata = self._consumer.consumer_group_metadata()
        if len(self._batcher) and not self._consumer.memberid():
            self._go_back(reading.starts)
        starts = {tp: max(at, self._floors.get(tp, at)) for tp, at in reading.starts.items()}
        return self._batcher.batch(starts)

    def _fill(self, wait_s: float) -> None:
        """Collect until the batch closes; without patience, until nothing waits."""
        deadline = time.monotonic() + wait_s
        while not self._batcher.closed(time.monotonic()) and self._failure is None:
            count = min(self._batcher.room(), CONSUME_CHUNK)
            held, self._held = self._held[:count], self._held[count:]
            messages = held or self._consume_some(count, min(wait_s, CONSUME_SLICE_S))
            for message in messages:
                self._take(message)
            if not wait_s and not messages:
                return
            if not len(self._batcher) and time.monotonic() >= deadline:
                return

    def _go_back(self, starts: Mapping[TopicPartition, int]) -> None:
        self._batcher = Batcher(self._limits)
        for tp, start in starts.items():
            if tp in self._positions:
                self._positions[tp] = start
                self._astray.add(tp)

    def _consume_some(self, count: int, wait_s: float) -> list[Any]:
        try:
            return list(self._consumer.consume(count, wait_s))
        except KafkaException as error:
            self._note(error.args[0])
            return []

    def _take(self, message: Any) -> None:
        tp = TopicPartition(message.topic(), message.partition())
        error = message.error()
        if error is None and tp in self._positions and tp not in self._astray:
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
        elif error is not None and error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - local code
            self._astray.add(tp)
        elif error is not None:
            self._note(error)

    def _note(self, error: KafkaError) -> None:
        """Keep a failure until the batch in hand is done; one that ends the process wins."""
        if error.code() in HARMLESS:
            return
        if self._failure is None or isinstance(self._failure, TransientError):
            self._failure = classified(error)

    def _on_error(self, error: KafkaError) -> None:
        """The client's own retries deal with what is transient; what is refused must surface."""
        failure = classified(error)
        if not isinstance(failure, TransientError):
            self._failure = failure

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _on_assign(self, consumer: Consumer, assigned: list[Any]) -> None:
        """Take the partitions paused; `_place` moves them to their start and lets them go."""
        partitions = [TopicPartition(p.topic, p.partition) for p in assigned]
        nowhere = [position_of(tp, OFFSET_END) for tp in partitions]
        consumer.incremental_assign(nowhere)
        consumer.pause(nowhere)
        self._assigned.update(partitions)

    def _on_revoke(self, _consumer: Consumer, revoked: list[Any]) -> None:
        gone = {TopicPartition(p.topic, p.partition) for p in revoked}
        for tp in gone:
            self._positions.pop(tp, None)
            self._floors.pop(tp, None)
            self._readings.drop(tp)
            self._batcher.drop(tp)
        self._assigned -= gone
        self._astray -= gone
        self._drop_held(gone)

    def _on_lost(self, consumer: Consumer, lost: list[Any]) -> None:
        log.warning("lost %d partitions", len(lost))
        self._on_revoke(consumer, lost)

    def _place(self) -> None:
        """Move new and stray partitions to where they start; all stay put when one can't."""
        if not self._assigned and not self._astray:
            return
        self._astray &= self._positions.keys()
        try:
            starts = self._starts.find(sorted(self._assigned)) if self._assigned else {}
            for tp in self._astray:
                starts[tp] = self._starts.resume(tp, self._positions[tp], self.replayed_below(tp))
            first = [position_of(tp, start.position) for tp, start in starts.items() if start.first]
            if first:
                check_each(self._consumer.commit(offsets=first, asynchronous=False))
            for tp, start in starts.items():
                self._move(position_of(tp, start.position))
            self._consumer.resume([position_of(tp, 0) for tp in self._assigned])
        except KafkaException as error:
            if error.args[0].code() in REJOINING:
                return
            raise classified(error.args[0]) from error
        self._drop_held(starts.keys())
        for tp, start in starts.items():
            self._positions[tp], self._floors[tp] = start.position, start.floor
            self._report(tp, start)
        self._assigned.clear()
        self._astray.clear()

    def _move(self, position: Any) -> None:
        """Go to an offset; a partition whose offset was out of range has stopped and can't seek."""
        try:
            self._consumer.seek(position)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._STATE:  # noqa: SLF001 - local code
                raise
            self._consumer.incremental_unassign([position])
            self._consumer.incremental_assign([position])

    def _report(self, tp: TopicPartition, start: Start) -> None:
        where = f"{tp.topic}/{tp.partition}"
        log.info("%s: reading from %d, committed %d", where, start.position, start.floor)
        if start.lost_to_retention:
            log.error("%s: lost_to_retention: %d records", where, start.lost_to_retention)
            before = self.lost_to_retention.get(tp, 0)
            self.lost_to_retention[tp] = before + start.lost_to_retention
        if start.state_gap:
            log.error("%s: state_gap: %d records can't be merged again", where, start.state_gap)
            self.state_gap[tp] = self.state_gap.get(tp, 0) + start.state_gap
        if start.truncated:
            log.error("%s: the log ends %d before the committed offset", where, start.truncated)

    def _drop_held(self, partitions: Iterable[TopicPartition]) -> None:
        names = {(tp.topic, tp.partition) for tp in partitions}
        self._held = [m for m in self._held if (m.topic(), m.partition()) not in names]

    def _resume(self) -> None:
        if self._paused:
            self._consumer.resume([position_of(tp, 0) for tp in self._positions])
            self._paused = False
