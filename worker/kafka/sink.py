"""Output: all messages of a batch and its input offsets, all or nothing."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as Position

from worker.errors import AnomalyWorkerError, BatchAbortedError, RestartRequiredError
from worker.kafka.client import classified, is_refusal
from worker.kafka.producer import Deliveries
from worker.kafka.source import KafkaSource
from worker.kafka.starts import position_of
from worker.types.records import Message, TopicPartition

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 10.0

PATIENCE = 2
"""How many times its own time limit a call may take before it counts as lost."""

BUDGET_S = 45.0
"""How long one step of a commit may be repeated before the process gives up on it."""

RETRY_PAUSE_S = 0.1

MAX_ABORTS = 10
"""Aborts in a row: more are no accident of a rebalance, and a loop would hide the reason."""

_TAKEN_OVER = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - librdkafka's local code
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
    }
)


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
        self._source, self._slot, self._aborts = source, slot, 0
        self._stuck = False
        self._deliveries = Deliveries(
            config,
            {
                "transactional.id": f"anomaly-worker.{group}.{slot}",
                "transaction.timeout.ms": int(config.get("transaction.timeout.ms", 60_000)),
            },
        )
        self._producer = self._deliveries.producer

    def open(self, patience_s: float = 30.0) -> None:
        """Fence the slot's predecessor and abort what it left open.

        UnavailableError when no broker answers, ConfigError when it refuses us.
        """
        try:
            self._producer.init_transactions(patience_s)
        except KafkaException as error:
            self._deliveries.raise_unavailable(error.args[0])

    def commit(
        self, messages: Sequence[Message], next_offsets: Mapping[TopicPartition, int]
    ) -> None:
        """Begin, produce, add the input offsets, commit.

        Raises BatchAbortedError when the transaction was aborted and left no trace,
        RestartRequiredError when only a new process can learn the outcome, and ConfigError
        when the broker refuses a message.
        """
        offsets = [position_of(tp, offset) for tp, offset in next_offsets.items()]
        metadata = self._source.group_metadata()
        self._settle(self._producer.begin_transaction)
        try:
            self._deliveries.send(messages)
        except KafkaException as error:
            self._abort(error.args[0])
        self._settle(lambda: self._send_offsets(offsets, metadata))
        self._settle(lambda: self._producer.commit_transaction(CALL_TIMEOUT_S))
        self._aborts = 0

    def close(self) -> None:
        """Abort what is open and end the client.

        What can't be aborted any more is the next owner's or the broker's to abort; the reason
        of this end is told already.
        """
        if self._stuck:
            return  # nor would this call come back
        try:
            self._producer.close()
        except KafkaException as error:
            log.warning("the producer ended with %s", error.args[0].str())

    def _send_offsets(self, offsets: list[Position], metadata: Any) -> None:
        """Add the offsets; RestartRequiredError when the client does not come back.

        It forgets its time limit while the group's coordinator is away (librdkafka 5456), so
        that a thread waits in our place; it ends with the process.
        """
        answers: SimpleQueue[KafkaException | None] = SimpleQueue()

        def call() -> None:
            try:
                self._producer.send_offsets_to_transaction(offsets, metadata, CALL_TIMEOUT_S)
            except KafkaException as error:
                answers.put(error)
            else:
                answers.put(None)

        threading.Thread(target=call, name="offsets", daemon=True).start()
        try:
            error = answers.get(timeout=PATIENCE * CALL_TIMEOUT_S)
        except Empty:
            self._stuck = True
            raise RestartRequiredError(
                "kafka: no answer about the offsets of a transaction; the group's coordinator "
                "was lost in the middle of it"
            ) from None
        if error is not None:
            raise error

    def _settle(self, call: Callable[[], None]) -> None:
        """The same call again while it is retriable; then abort, or give up."""
        error = self._repeated(call)
        if error is None:
            return
        if error.txn_requires_abort():
            self._abort(error)
        raise self._end(error)

    def _repeated(self, call: Callable[[], None]) -> KafkaError | None:
        """The error that repeating does not mend, None after success."""
        deadline = time.monotonic() + BUDGET_S
        while True:
            try:
                call()
            except KafkaException as failure:
                error: KafkaError = failure.args[0]
                if not error.retriable() or time.monotonic() > deadline:
                    return error
                time.sleep(RETRY_PAUSE_S)
                continue
            return None

    def _abort(self, error: KafkaError) -> None:
        """Abort; always raises. The cause is a message's failure where there was one."""
        cause = self._deliveries.failed or error
        unsettled = self._repeated(lambda: self._producer.abort_transaction(CALL_TIMEOUT_S))
        if unsettled is not None:
            raise self._end(unsettled)
        self._aborts += 1
        if is_refusal(cause):
            raise classified(cause)
        if cause.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            raise RestartRequiredError(f"kafka: {cause.str()}; the limits must be read again")
        if self._aborts >= MAX_ABORTS:
            raise RestartRequiredError(f"kafka: {self._aborts} aborts in a row: {cause.str()}")
        raise BatchAbortedError(f"kafka: {cause.str()}")

    def _end(self, error: KafkaError) -> AnomalyWorkerError:
        """Why this process ends."""
        if error.code() in _TAKEN_OVER:
            return RestartRequiredError(
                f"slot {self._slot} was taken over by another process; two workers must not "
                "share a slot (worker.slot)"
            )
        return RestartRequiredError(f"kafka: {error.str()}")


class AtLeastOnceSink:
    """For brokers without transactions: deliver everything, then commit the offsets."""

    def __init__(self, config: Mapping[str, str | int | float | bool], source: KafkaSource) -> None:
        self._source = source
        self._deliveries = Deliveries(config, {})

    def open(self, patience_s: float = 30.0) -> None:
        """Make sure that a broker answers; UnavailableError, ConfigError."""
        self._deliveries.connect(patience_s)

    def commit(
        self, messages: Sequence[Message], next_offsets: Mapping[TopicPartition, int]
    ) -> None:
        """Produce, wait for every acknowledgement, commit the offsets.

        Raises RestartRequiredError when a message was not delivered, BatchAbortedError when the
        partitions were taken away before their offsets were committed.
        """
        try:
            self._deliveries.send(messages)
        except KafkaException as error:
            raise RestartRequiredError(f"kafka: {error.args[0].str()}") from error
        problem = self._deliveries.flush()
        if problem is not None:
            raise RestartRequiredError(f"kafka: {problem}")
        self._source.commit(next_offsets)

    def close(self) -> None:
        """End the client."""
        self._deliveries.producer.close()
