"""Topics: creating, missing ones, size limits."""

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from worker.errors import ConfigError, UnavailableError
from worker.kafka.client import QUIET, classified, is_refusal
from worker.kafka.producer import DEFAULT_MESSAGE_MAX_BYTES
from worker.topics import TopicSpec

log = logging.getLogger(__name__)

TIMEOUT_S = 15.0


def create_topics(
    config: Mapping[str, str | int | float | bool], specs: Iterable[TopicSpec]
) -> None:
    """Create what is missing; what exists stays as it is. UnavailableError, ConfigError."""
    topics = [NewTopic(s.name, s.partitions, s.replication, config=dict(s.config)) for s in specs]
    if not topics:
        return
    admin = _admin(config)  # its answers end with it
    answers = admin.create_topics(topics, request_timeout=TIMEOUT_S)
    for name, future in answers.items():
        error = _error_of(future)
        if error is None or error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            continue
        if error.retriable() or error.code() == KafkaError._TIMED_OUT:  # noqa: SLF001 - local code
            raise UnavailableError(f"topic {name}: {error.str()}")
        raise ConfigError(f"topic {name}: {error.str()}")


def missing_topics(
    config: Mapping[str, str | int | float | bool], names: Iterable[str]
) -> list[str]:
    """Those of the names that no broker knows; UnavailableError when nobody answers."""
    existing = cluster_metadata(config).topics
    return [name for name in names if name not in existing]


def cluster_metadata(config: Mapping[str, str | int | float | bool]) -> Any:
    """Brokers and topics; UnavailableError when nobody answers, ConfigError when refused."""
    refusals: list[KafkaError] = []
    admin = _admin({**config, "error_cb": refusals.append})
    try:
        return admin.list_topics(timeout=TIMEOUT_S)
    except KafkaException as error:
        admin.poll(0)
        refused = [refusal for refusal in refusals if is_refusal(refusal)]
        if refused:
            raise classified(refused[0]) from error
        raise UnavailableError(f"kafka: {error.args[0].str()}") from error


def message_limits(
    config: Mapping[str, str | int | float | bool], names: Iterable[str]
) -> dict[str, int]:
    """Per topic the smaller of the producer's and the topic's message limit, bytes.

    Where the broker doesn't describe a topic (the mock can't, an ACL may forbid it), the
    producer's limit alone. UnavailableError when the broker does not answer.
    """
    own = int(config.get("message.max.bytes", DEFAULT_MESSAGE_MAX_BYTES))
    # The limit of the requests themselves is none of the topics' business.
    admin = _admin({key: value for key, value in config.items() if key != "message.max.bytes"})
    resources = {name: ConfigResource(ConfigResource.Type.TOPIC, name) for name in names}
    if not resources:
        return {}
    answers = admin.describe_configs(list(resources.values()), request_timeout=TIMEOUT_S)
    limits = {}
    for name, resource in resources.items():
        future = answers[resource]
        error = _error_of(future)
        if error is not None and error.retriable():
            raise UnavailableError(f"topic {name}: {error.str()}")
        if error is not None:
            log.warning("topic %s: %s; taking the producer's limit", name, error.str())
            limits[name] = own
        else:
            limits[name] = min(own, int(future.result()["max.message.bytes"].value))
    return limits


def _admin(config: Mapping[str, Any]) -> AdminClient:
    try:
        return AdminClient({"log_level": QUIET, **config})
    except (KafkaException, ValueError, TypeError) as error:
        raise ConfigError(f"kafka settings: {error}") from error


def _error_of(future: Any) -> KafkaError | None:
    """What an answer says went wrong, None where nothing did."""
    try:
        future.result(2 * TIMEOUT_S)
    except KafkaException as error:
        found: KafkaError = error.args[0]
        return found
    except FutureTimeoutError:
        return KafkaError(KafkaError._TIMED_OUT)  # noqa: SLF001 - librdkafka's local code
    return None
