"""Topics: creating, missing ones, size limits."""

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from worker.errors import ConfigError, UnavailableError
from worker.topics import TopicSpec

TIMEOUT_S = 15.0

DEFAULT_MESSAGE_MAX_BYTES = 1_000_000


def create_topics(
    config: Mapping[str, str | int | float | bool], specs: Iterable[TopicSpec]
) -> None:
    """Create what is missing; what exists stays as it is. UnavailableError, ConfigError."""
    admin = AdminClient(dict(config))
    topics = [NewTopic(s.name, s.partitions, s.replication, config=dict(s.config)) for s in specs]
    for name, future in admin.create_topics(topics, request_timeout=TIMEOUT_S).items():
        try:
            future.result(2 * TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise ConfigError(f"topic {name}: {error.args[0].str()}") from error


def missing_topics(
    config: Mapping[str, str | int | float | bool], names: Iterable[str]
) -> list[str]:
    """Those of the names that no broker knows; UnavailableError when nobody answers."""
    try:
        existing = AdminClient(dict(config)).list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise UnavailableError(f"kafka: {error.args[0].str()}") from error
    return [name for name in names if name not in existing]


def message_limits(
    config: Mapping[str, str | int | float | bool], names: Iterable[str]
) -> dict[str, int]:
    """Per topic the smaller of the producer's and the topic's message limit, bytes."""
    own = int(config.get("message.max.bytes", DEFAULT_MESSAGE_MAX_BYTES))
    admin = AdminClient({k: v for k, v in config.items() if k != "message.max.bytes"})
    resources = {name: ConfigResource(ConfigResource.Type.TOPIC, name) for name in names}
    answers: dict[Any, Any] = admin.describe_configs(
        list(resources.values()), request_timeout=TIMEOUT_S
    )
    limits = {}
    for name, resource in resources.items():
        try:
            entry = answers[resource].result(2 * TIMEOUT_S)["max.message.bytes"]
        except KafkaException as error:
            raise UnavailableError(f"topic {name}: {error.args[0].str()}") from error
        limits[name] = min(own, int(entry.value))
    return limits
