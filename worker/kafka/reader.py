"""Reads a topic from its start to its present end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Position

from worker.errors import ConfigError, UnavailableError
from worker.kafka.client import QUIET
from worker.types.records import Headers, TopicPartition

TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Read:
    """One committed record of a topic."""

    partition: TopicPartition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class TopicReader:
    """Reads one topic's partitions without a group's offsets.

    From the start, or from the first record that is no older than `since_ms` (Unix ms).
    `drain` can be called again: it goes on from where it stopped.
    """

    def __init__(
        self,
        config: Mapping[str, str | int | float | bool],
        topic: str,
        since_ms: int | None = None,
    ) -> None:
        settings: dict[str, Any] = {
            "log_level": QUIET,
            **config,
            "group.id": "anomaly-worker.reader",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
        try:
            self._consumer = Consumer(settings)
        except (KafkaException, ValueError, TypeError) as error:
            raise ConfigError(f"kafka settings: {error}") from error
        self._topic = topic
        try:
            found = self._consumer.list_topics(topic, TIMEOUT_S).topics[topic]
        except KafkaException as error:
            raise UnavailableError(f"kafka: {error.args[0].str()}") from error
        if found.error is not None:
            raise UnavailableError(f"topic {topic}: {found.error.str()}")
        self._ends = dict.fromkeys(found.partitions, -1)
        self._consumer.assign(self._starts(since_ms))

    def drain(self, patience_s: float = TIMEOUT_S) -> Iterator[Read]:
        """Every record up to the present end; UnavailableError when the broker falls silent."""
        # The client names each end once: one that has not moved since is not named again.
        # Ends are compared with ends: behind the last record there may be control records.
        behind = {p for p, end in self._ends.items() if self._high(p) > end}
        while behind:
            message = self._consumer.poll(patience_s)
            if message is None:
                raise UnavailableError(f"topic {self._topic}: no answer in {patience_s:.0f} s")
            record = self._read(message)
            if record is None:
                behind.discard(message.partition())
            else:
                yield record

    def poll(self, timeout_s: float) -> Read | None:
        """The next record, None when none came in time."""
        message = self._consumer.poll(timeout_s)
        return None if message is None else self._read(message)

    def close(self) -> None:
        """End the client."""
        self._consumer.close()

    def _starts(self, since_ms: int | None) -> list[Position]:
        if since_ms is None:
            return [Position(self._topic, p, OFFSET_BEGINNING) for p in self._ends]
        wanted = [Position(self._topic, p, since_ms) for p in self._ends]
        try:
            found: list[Position] = self._consumer.offsets_for_times(wanted, timeout=TIMEOUT_S)
        except KafkaException as error:
            raise UnavailableError(f"topic {self._topic}: {error.args[0].str()}") from error
        return found

    def _high(self, partition: int) -> int:
        try:
            _, high = self._consumer.get_watermark_offsets(
                Position(self._topic, partition), timeout=TIMEOUT_S
            )
        except KafkaException as error:
            raise UnavailableError(f"topic {self._topic}: {error.args[0].str()}") from error
        return int(high)

    def _read(self, message: Any) -> Read | None:
        error = message.error()
        if error is None:
            return read_of(message)
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's local code
            self._ends[message.partition()] = message.offset()
            return None
        raise UnavailableError(f"topic {self._topic}: {error.str()}")


def read_of(message: Any) -> Read:
    """The client's message as ours."""
    return Read(
        TopicPartition(message.topic(), message.partition()),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        tuple((name, value or b"") for name, value in message.headers() or ()),
    )


def read_all(config: Mapping[str, str | int | float | bool], topic: str) -> Iterator[Read]:
    """Every committed record of a topic; UnavailableError when it does not exist."""
    reader = TopicReader(config, topic)
    try:
        yield from reader.drain()
    finally:
        reader.close()
