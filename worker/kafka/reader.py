"""Reads a topic from its start to its present end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Position

from worker.errors import UnavailableError
from worker.types import Headers, TopicPartition

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
    """Reads one topic's partitions from the start, without a group's offsets.

    `drain` can be called again: it goes on from where it stopped.
    """

    def __init__(self, config: Mapping[str, str | int | float | bool], topic: str) -> None:
        settings: dict[str, Any] = {
            **config,
            "group.id": "anomaly-worker.reader",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
        self._consumer = Consumer(settings)
        self._topic = topic
        try:
            found = self._consumer.list_topics(topic, TIMEOUT_S).topics[topic]
        except KafkaException as error:
            raise UnavailableError(f"kafka: {error.args[0].str()}") from error
        if found.error is not None:
            raise UnavailableError(f"topic {topic}: {found.error.str()}")
        self._partitions = set(found.partitions)
        self._consumer.assign([Position(topic, p, OFFSET_BEGINNING) for p in self._partitions])
        self._at_end: set[int] = set()

    def drain(self, patience_s: float = TIMEOUT_S) -> Iterator[Read]:
        """Every record up to the end; returns when each partition reached it."""
        self._at_end.clear()
        while self._at_end != self._partitions:
            message = self._consumer.poll(patience_s)
            if message is None:
                raise UnavailableError(f"topic {self._topic}: no answer in {patience_s:.0f} s")
            record = self._read(message)
            if record is not None:
                yield record

    def poll(self, timeout_s: float) -> Read | None:
        """The next record, None when none came in time."""
        message = self._consumer.poll(timeout_s)
        return None if message is None else self._read(message)

    def close(self) -> None:
        """End the client."""
        self._consumer.close()

    def _read(self, message: Any) -> Read | None:
        error = message.error()
        if error is None:
            self._at_end.discard(message.partition())
            return Read(
                TopicPartition(message.topic(), message.partition()),
                message.offset(),
                message.timestamp()[1],
                message.key(),
                message.value(),
                tuple((name, value or b"") for name, value in message.headers() or ()),
            )
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's local code
            self._at_end.add(message.partition())
            return None
        raise UnavailableError(f"topic {self._topic}: {error.str()}")


def read_all(config: Mapping[str, str | int | float | bool], topic: str) -> Iterator[Read]:
    """Every committed record of a topic; UnavailableError when it does not exist."""
    reader = TopicReader(config, topic)
    try:
        yield from reader.drain()
    finally:
        reader.close()
