"""A source that tells how it stands, for metrics and probes."""

from typing import Any

from confluent_kafka import Consumer

from worker.kafka.source import KafkaSource


class WatchedSource(KafkaSource):
    """Counts changes of the assignment; says whether the group has it and what waits."""

    rebalances = 0

    @property
    def joined(self) -> bool:
        """Whether the group has taken this worker in."""
        return bool(self._consumer.memberid())

    @property
    def paused(self) -> int:
        """Partitions that wait for their start, or all while the loop waits."""
        return len(self._positions) if self._paused else len(self._assigned)

    def _on_assign(self, consumer: Consumer, assigned: list[Any]) -> None:
        self.rebalances += 1
        super()._on_assign(consumer, assigned)

    def _on_revoke(self, consumer: Consumer, revoked: list[Any]) -> None:
        self.rebalances += 1
        super()._on_revoke(consumer, revoked)
