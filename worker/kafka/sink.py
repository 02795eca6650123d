"""Output: all messages of a batch and its input offsets, all or nothing."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as Position

from worker.errors import (
    BatchAbortedError,
    ConfigError,
    RestartRequiredError,
    UnavailableError,
)
from worker.kafka.source import KafkaSource
from worker.types import Message, TopicPartition

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 10.0
BUDGET_S = 45.0
"""How long one step of a commit may be repeated before the process gives up on it."""

_COMMON: dict[str, str | int | float | bool] = {
    "partitioner": "murmur2_random",
    "enable.idempotence": True,
    "acks": "all",
}
_DEFAULTS: dict[str, str | int | float | bool] = {
    "compression.type": "zstd",
    "linger.ms": 5,
    "message.timeout.ms": 40_000,
    "message.max.bytes": 1_000_000,
}


class TransactionalSink:
    """Exactly once: one transaction per batch, one transactional producer per slot."""

    def __init__(
        self,
        config: Mapping[str, str | int | float | bool],
        source: KafkaSource,
        *,
        group: str,
        slot: str,
    ) -> None:
        self._source, self._slot = source, slot
        self._producer = _producer(
            config,
            {
                "transactional.id": f"anomaly-worker.{group}.{slot}",
                "transaction.timeout.ms": 60_000,
            },
        )
        self._failed: KafkaError | None = None

    def open(self, patience_s: float = 30.0) -> None:
        """Fence the slot's predecessor and abort what it left open; UnavailableError."""
        try:
            self._producer.init_transactions(patience_s)
        except KafkaException as error:
            raise UnavailableError(f"kafka: {error.args[0].str()}") from error

    def commit(
        self, messages: Sequence[Message], next_offsets: Mapping[TopicPartition, int]
    ) -> None:
        """Begin, produce, add the input offsets, commit.

        Raises BatchAbortedError when the transaction was aborted and left no trace, and
        RestartRequiredError when only a new process can learn the outcome.
        """
        self._failed = None
        offsets = [Position(tp.topic, tp.partition, n) for tp, n in next_offsets.items()]
        self._settle(self._producer.begin_transaction)
        try:
            for message in messages:
                _produce(self._producer, message, self._on_delivery)
        except KafkaException as error:
            self._give_up(error.args[0])
        metadata = self._source.group_metadata()
        self._settle(
            lambda: self._producer.send_offsets_to_transaction(offsets, metadata, CALL_TIMEOUT_S)
        )
        self._settle(lambda: self._producer.commit_transaction(CALL_TIMEOUT_S))

    def close(self) -> None:
        """Nothing is open between batches; let the client end its threads."""
        self._producer.flush(CALL_TIMEOUT_S)

    def _on_delivery(self, error: KafkaError | None, _message: Any) -> None:
        if error is not None and self._failed is None:
            self._failed = error

    def _settle(self, call: Callable[[], None]) -> None:
        """The same call again while it is retriable; then abort, or give up."""
        deadline = time.monotonic() + BUDGET_S
        while True:
            try:
                call()
            except KafkaException as failure:
                error = failure.args[0]
                if error.retriable() and time.monotonic() < deadline:
                    continue
                if error.txn_requires_abort():
                    self._abort(error)
                self._give_up(error)
            return

    def _abort(self, reason: KafkaError) -> None:
        too_large = self._failed is not None and _is_too_large(self._failed)
        deadline = time.monotonic() + BUDGET_S
        while True:
            try:
                self._producer.abort_transaction(CALL_TIMEOUT_S)
            except KafkaException as failure:
                if failure.args[0].retriable() and time.monotonic() < deadline:
                    continue
                self._give_up(failure.args[0])
            break
        if too_large:
            raise RestartRequiredError(f"kafka: {self._failed}; the limits must be read again")
        raise BatchAbortedError(f"kafka: {(self._failed or reason).str()}")

    def _give_up(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH):  # noqa: SLF001
            raise RestartRequiredError(
                f"slot {self._slot} was taken over by another process; two workers must not "
                "share a slot (worker.slot)"
            )
        raise RestartRequiredError(f"kafka: {error.str()}")


class AtLeastOnceSink:
    """For brokers without transactions: deliver everything, then commit the offsets."""

    def __init__(self, config: Mapping[str, str | int | float | bool], source: KafkaSource) -> None:
        self._source = source
        self._producer = _producer(config, {})
        self._failed: KafkaError | None = None

    def open(self, patience_s: float = 30.0) -> None:
        """Make sure that a broker answers; UnavailableError."""
        try:
            self._producer.list_topics(timeout=patience_s)
        except KafkaException as error:
            raise UnavailableError(f"kafka: {error.args[0].str()}") from error

    def commit(
        self, messages: Sequence[Message], next_offsets: Mapping[TopicPartition, int]
    ) -> None:
        """Produce, wait for every acknowledgement, commit the offsets.

        Raises RestartRequiredError when a message was not delivered, BatchAbortedError when the
        partitions were taken away before their offsets were committed.
        """
        self._failed = None
        try:
            for message in messages:
                _produce(self._producer, message, self._on_delivery)
        except KafkaException as error:
            raise RestartRequiredError(f"kafka: {error.args[0].str()}") from error
        waiting = self._producer.flush(BUDGET_S)
        if waiting or self._failed is not None:
            reason = self._failed.str() if self._failed else f"{waiting} not acknowledged"
            raise RestartRequiredError(f"kafka: {reason}")
        try:
            self._source.commit(next_offsets)
        except KafkaException as error:
            raise BatchAbortedError(f"kafka: {error.args[0].str()}") from error

    def close(self) -> None:
        """Let the client end its threads."""
        self._producer.flush(CALL_TIMEOUT_S)

    def _on_delivery(self, error: KafkaError | None, _message: Any) -> None:
        if error is not None and self._failed is None:
            self._failed = error


def produce_all(
    config: Mapping[str, str | int | float | bool], messages: Sequence[Message]
) -> None:
    """Deliver messages outside of any transaction; UnavailableError when one is not taken."""
    failed: list[KafkaError] = []
    producer = _producer(config, {})

    def on_delivery(error: KafkaError | None, _message: Any) -> None:
        if error is not None:
            failed.append(error)

    for message in messages:
        _produce(producer, message, on_delivery)
    if producer.flush(BUDGET_S) or failed:
        raise UnavailableError(f"kafka: {failed[0].str() if failed else 'not acknowledged'}")


def _producer(
    config: Mapping[str, str | int | float | bool], extra: Mapping[str, str | int]
) -> Producer:
    try:
        return Producer({**_DEFAULTS, **config, **_COMMON, **extra}, logger=log)
    except (KafkaException, ValueError, TypeError) as error:
        raise ConfigError(f"kafka settings: {error}") from error


def _produce(producer: Producer, message: Message, on_delivery: Callable[..., None]) -> None:
    while True:
        try:
            producer.produce(
                message.topic,
                message.value,
                message.key,
                headers=list(message.headers),
                on_delivery=on_delivery,
            )
        except BufferError:
            producer.poll(0.1)  # the local queue is full: let deliveries make room
            continue
        producer.poll(0)
        return


def _is_too_large(error: KafkaError) -> bool:
    return bool(error.code() == KafkaError.MSG_SIZE_TOO_LARGE)
