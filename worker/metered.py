"""The loop's rooms with a meter at the door: what passes is counted, nothing is changed."""

import time
from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from prometheus_client import Counter

from worker.errors import AnomalyWorkerError, BatchAbortedError, TransientError
from worker.health import Health
from worker.metrics import Metrics
from worker.rooms import Sink, Source
from worker.store import Store
from worker.types.records import Message, RecordBatch, TopicPartition

LOOK_EVERY_S = 1.0
"""How often lag and assignment are read from the client."""


class Watched(Source, Protocol):
    """A source that tells how it stands."""

    rebalances: int
    lost_to_retention: dict[TopicPartition, int]
    state_gap: dict[TopicPartition, int]

    @property
    def joined(self) -> bool:
        """Whether the group has taken this worker in."""

    @property
    def paused(self) -> int:
        """Partitions that wait for their start or for a dependency."""

    def lag(self) -> dict[TopicPartition, int]:
        """Offsets between position and end, per assigned partition."""


class MeteredSource:
    """Ticks with every poll; shows lag, assignment and the failed calls of the state.

    `state_errors`: calls of the state that failed so far, by name.
    """

    def __init__(
        self,
        source: Watched,
        metrics: Metrics,
        health: Health,
        state_errors: Mapping[str, int],
    ) -> None:
        self._source, self._metrics, self._health = source, metrics, health
        self._state_errors = state_errors
        self._look_at, self._ahead = 0.0, 0
        self._shown: set[TopicPartition] = set()
        self._counted: dict[Counter, int] = {}

    def poll_batch(self) -> RecordBatch:
        """The next batch; the broker counts as reached when it did not fail."""
        records = self._read(self._source.poll_batch)
        self._metrics.in_flight.set(len(records))
        return records

    def read_ahead(self) -> RecordBatch:
        """What waits already; the broker counts as reached when it did not fail."""
        records = self._read(self._source.read_ahead)
        self._ahead = len(records)
        self._metrics.in_flight.inc(self._ahead)
        return records

    def advance(self) -> None:
        """As the source's."""
        self._source.advance()
        self._metrics.in_flight.set(self._ahead)

    def replayed_below(self, partition: TopicPartition) -> int:
        """As the source's."""
        return self._source.replayed_below(partition)

    def heartbeat(self) -> None:
        """Waiting for a dependency is no standstill."""
        self._tick()
        self._source.heartbeat()
        self._look()

    def rewind(self) -> None:
        """As the source's."""
        self._source.rewind()

    def _read(self, call: Callable[[], RecordBatch]) -> RecordBatch:
        self._tick()
        try:
            records = call()
        except TransientError:
            self._health.broker = False
            raise
        self._health.broker, self._health.joined = True, self._source.joined
        self._look()
        return records

    def _tick(self) -> None:
        self._health.tick()
        self._metrics.last_poll.set_to_current_time()

    def _look(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_S
        self._show_partitions()
        for counter, total in self._totals():
            counter.inc(max(0, total - self._counted.get(counter, 0)))
            self._counted[counter] = total

    def _show_partitions(self) -> None:
        lag, metrics = self._source.lag(), self._metrics
        for gone in self._shown - lag.keys():
            metrics.lag.remove(gone.topic, str(gone.partition))
        for tp, count in lag.items():
            metrics.lag.labels(tp.topic, str(tp.partition)).set(count)
        self._shown = set(lag)
        metrics.assigned.set(len(lag))
        metrics.paused.set(self._source.paused)

    def _totals(self) -> Iterator[tuple[Counter, int]]:
        """Counters of other rooms and where they stand."""
        source, metrics = self._source, self._metrics
        yield metrics.rebalances, source.rebalances
        yield metrics.lost_to_retention, sum(source.lost_to_retention.values())
        yield metrics.state_gap, sum(source.state_gap.values())
        for operation, total in self._state_errors.items():
            yield metrics.redis_errors.labels(operation), total


class MeteredSink:
    """Counts what was acknowledged, and commits that were not."""

    def __init__(self, sink: Sink, metrics: Metrics) -> None:
        self._sink, self._metrics = sink, metrics

    def commit(
        self, messages: Sequence[Message], next_offsets: Mapping[TopicPartition, int]
    ) -> None:
        """As the sink's."""
        try:
            self._sink.commit(messages, next_offsets)
        except AnomalyWorkerError as error:
            reason = "aborted" if isinstance(error, BatchAbortedError) else "failed"
            self._metrics.produce_errors.labels(reason).inc()
            raise
        for topic, count in Counts(message.topic for message in messages).items():
            self._metrics.emitted.labels(topic).inc(count)
        self._metrics.last_emit.set_to_current_time()
        self._metrics.in_flight.set(0)


class MeteredStore(Store):
    """Counts the calls that failed because Redis was away, by name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.failures: Counts[str] = Counts(merge=0, claim=0, remember=0)
        super().__init__(*args, **kwargs)

    def answers(self) -> bool:
        """Whether Redis answers now; of no account for the failures."""
        try:
            super()._call("ping", self._client.ping)
        except AnomalyWorkerError:
            return False
        return True

    def _call(self, operation: str, call: Callable[[], Any]) -> Any:
        try:
            return super()._call(operation, call)
        except TransientError:
            self.failures[operation] += 1
            raise
