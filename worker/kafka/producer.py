"""A producer with the settings of the guarantee, and single messages into it."""

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from worker.errors import ConfigError, UnavailableError
from worker.kafka.client import classified, client_log, is_refusal
from worker.types.records import Message

FLUSH_S = 45.0

DEFAULT_MESSAGE_MAX_BYTES = 1_000_000

_COMMON: dict[str, str | int | float | bool] = {
    "partitioner": "murmur2_random",  # what Java clients use: same key, same partition
    "enable.idempotence": True,
    "acks": "all",
}
_DEFAULTS: dict[str, str | int | float | bool] = {
    "compression.type": "zstd",
    "linger.ms": 5,
    "message.timeout.ms": 40_000,
    "message.max.bytes": DEFAULT_MESSAGE_MAX_BYTES,
}


class Deliveries:
    """A producer that remembers the first message it could not deliver."""

    def __init__(
        self, config: Mapping[str, str | int | float | bool], extra: Mapping[str, str | int]
    ) -> None:
        self.failed: KafkaError | None = None
        self._refusal: KafkaError | None = None
        client = {**_DEFAULTS, **config, **_COMMON, **extra, "error_cb": self._on_error}
        try:
            self.producer = Producer(client, logger=client_log)
        except (KafkaException, ValueError, TypeError) as error:
            raise ConfigError(f"kafka settings: {error}") from error

    def connect(self, patience_s: float) -> None:
        """Wait for a broker; UnavailableError, or ConfigError where it refuses us."""
        try:
            self.producer.list_topics(timeout=patience_s)
        except KafkaException as error:
            self.raise_unavailable(error.args[0])

    def raise_unavailable(self, error: KafkaError) -> None:
        """UnavailableError, or ConfigError where the broker refuses us."""
        self.producer.poll(0)
        refusal = error if is_refusal(error) else self._refusal
        if refusal is not None:
            raise classified(refusal)
        raise UnavailableError(f"kafka: {error.str()}")

    def send(self, messages: Sequence[Message]) -> None:
        """Hand messages to the client; KafkaException when it takes no more of them."""
        self.failed = None
        for message in messages:
            self._send(message)

    def flush(self) -> str | None:
        """Wait for every acknowledgement; what went wrong, None where nothing did."""
        waiting = self.producer.flush(FLUSH_S)
        if self.failed is not None:
            return str(self.failed.str())
        return f"{waiting} messages not acknowledged" if waiting else None

    def _send(self, message: Message) -> None:
        while True:
            try:
                self.producer.produce(
                    message.topic,
                    message.value,
                    message.key,
                    headers=list(message.headers),
                    on_delivery=self._on_delivery,
                )
            except BufferError:
                self.producer.poll(0.1)  # the local queue is full: let deliveries make room
                continue
            self.producer.poll(0)
            return

    def _on_delivery(self, error: KafkaError | None, _message: Any) -> None:
        if error is not None and self.failed is None:
            self.failed = error

    def _on_error(self, error: KafkaError) -> None:
        if is_refusal(error):
            self._refusal = error


def produce_all(
    config: Mapping[str, str | int | float | bool], messages: Sequence[Message]
) -> None:
    """Deliver messages outside of any transaction; UnavailableError when one is not taken."""
    deliveries = Deliveries(config, {})
    try:
        deliveries.send(messages)
        problem = deliveries.flush()
    except KafkaException as error:
        deliveries.raise_unavailable(error.args[0])
    if problem is not None:
        raise UnavailableError(f"kafka: {problem}")
