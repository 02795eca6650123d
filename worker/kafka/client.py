"""The consumer's settings, and which of our failures a client's error is."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from worker.batch import BatchLimits
from worker.errors import AnomalyWorkerError, ConfigError, RestartRequiredError, TransientError

log = logging.getLogger(__name__)

QUERY_TIMEOUT_S = 5.0
"""How long one question to the broker may hold up the loop."""

QUIET = 2
"""Log level of clients whose failures are exceptions: what they say beside is repetition."""

LOG_EVERY_S = 10.0

CLOSE_S = 10.0

_REFUSED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's local code
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    }
)

HARMLESS = frozenset(
    {
        KafkaError._PARTITION_EOF,  # noqa: SLF001 - librdkafka's local code
        KafkaError.UNKNOWN_TOPIC_OR_PART,  # a night's topic is gone: the next refresh drops it
        KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001 - the client joins again by itself
    }
)

REJOINING = frozenset(
    {
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.STALE_MEMBER_EPOCH,
    }
)
"""The group is changing: the answer comes with the callbacks of the next poll."""


class RateLimit(logging.Filter):
    """Lets each kind of line of the client through once in LOG_EVERY_S.

    librdkafka begins its lines with their kind (FAIL, MAXPOLL, ...); while a broker is away
    it writes twenty a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._next: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line may pass."""
        kind = str(record.args[0]) if isinstance(record.args, tuple) and record.args else record.msg
        now = time.monotonic()
        if now < self._next.get(kind, 0.0):
            return False
        self._next[kind] = now + LOG_EVERY_S
        return True


client_log = logging.getLogger("librdkafka")
client_log.addFilter(RateLimit())


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """What to read. `refresh_s`: how often the set of existing topics is looked up."""

    group: str
    topics: tuple[str, ...] = ()
    topic_template: str | None = None
    programids: tuple[int, ...] = (1,)
    nights: int = 8
    redrive_topic: str | None = None
    instance_id: str | None = None
    start_at: str | None = None
    refresh_s: float = 30.0
    limits: BatchLimits = field(default_factory=BatchLimits)


def consumer_config(
    settings: SourceSettings, config: Mapping[str, str | int | float | bool]
) -> dict[str, Any]:
    """What the consumer is started with: the operator's settings below the guarantee's."""
    result: dict[str, Any] = {
        "partition.assignment.strategy": "cooperative-sticky",
        "topic.metadata.refresh.interval.ms": 10_000,
        "fetch.message.max.bytes": 2 * 1024 * 1024,
        # A batch empties a full queue at once; the client's own pause before it fetches again is
        # a second, in which the worker has nothing to do.
        "fetch.queue.backoff.ms": 10,
        **config,
        "group.id": settings.group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
    }
    if result.get("group.protocol") == "consumer":
        del result["partition.assignment.strategy"]
    if settings.instance_id is not None:
        result["group.instance.id"] = settings.instance_id
    return result


def is_refusal(error: KafkaError) -> bool:
    """Whether the broker answers and says no: waiting doesn't help, a person must act."""
    return error.code() in _REFUSED


def classified(error: KafkaError) -> AnomalyWorkerError:
    """Which of our failures a client's error is."""
    if is_refusal(error):
        return ConfigError(f"kafka: {error.str()}")
    # A fatal error carries its cause in words only.
    if error.code() == KafkaError.FENCED_INSTANCE_ID or "group.instance.id" in error.str():
        return RestartRequiredError(
            "another process joined the group with this worker's slot; two workers must not "
            "share a slot (worker.slot)"
        )
    if error.fatal() or error.code() == KafkaError._FATAL:  # noqa: SLF001 - local code
        return RestartRequiredError(f"kafka: {error.str()}")
    return TransientError(f"kafka: {error.str()}")


def check_each(answers: Iterable[Any]) -> None:
    """Raise KafkaException for the first partition whose offset was not taken."""
    for answer in answers:
        if answer.error is not None:
            raise KafkaException(answer.error)


def close_in_time(close: Callable[[], None], patience_s: float = CLOSE_S) -> None:
    """Close a client, or go on without.

    One that is closed in the middle of a rebalance can wait for ever for its own main thread (seen
    with librdkafka 2.16), so a thread waits in our place; it ends with the process.
    """
    closing = threading.Thread(target=close, name="close", daemon=True)
    closing.start()
    closing.join(patience_s)
    if closing.is_alive():
        log.warning("the consumer did not close within %g s; its session will run out", patience_s)
