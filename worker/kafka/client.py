"""The consumer's settings, and which of our failures a client's error is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError

from worker.batch import BatchLimits
from worker.errors import AnomalyWorkerError, ConfigError, RestartRequiredError, TransientError


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


def classified(error: KafkaError) -> AnomalyWorkerError:
    """Which of our failures a client's error is."""
    if error.fatal() or error.code() in (
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._FATAL,  # noqa: SLF001 - librdkafka's local codes
        KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001
    ):
        return RestartRequiredError(f"kafka: {error.str()}")
    if error.code() in (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001
    ):
        return ConfigError(f"kafka: {error.str()}")
    return TransientError(f"kafka: {error.str()}")
