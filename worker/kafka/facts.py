"""What `check` asks a broker: topics as they are, and their newest records."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as Position

from worker.errors import UnavailableError
from worker.kafka.admin import TIMEOUT_S, cluster_metadata
from worker.kafka.client import QUIET
from worker.kafka.reader import Read, read_of

SILENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic's partitions, and the smallest number of copies of any of them."""

    partitions: int
    replicas: int


def topic_facts(config: Mapping[str, str | int | float | bool]) -> dict[str, TopicFacts]:
    """Every topic that this user may see. UnavailableError; ConfigError where it is refused."""
    found = cluster_metadata(config).topics
    return {
        name: TopicFacts(
            len(topic.partitions),
            min((len(p.replicas) for p in topic.partitions.values()), default=0),
        )
        for name, topic in found.items()
    }


def newest_records(
    config: Mapping[str, str | int | float | bool], topic: str, count: int
) -> list[Read]:
    """Up to `count` committed records from the end of each partition; nothing is committed."""
    consumer = Consumer(
        {
            "log_level": QUIET,
            **config,
            "group.id": "anomaly-worker.check",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    try:
        starts = list(_starts(consumer, topic, count))
        return list(_read_to(consumer, starts)) if starts else []
    except KafkaException as error:
        raise UnavailableError(f"topic {topic}: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _starts(consumer: Consumer, topic: str, count: int) -> Iterator[tuple[Position, int]]:
    """Where to begin in each partition that holds records, and its end."""
    for partition in consumer.list_topics(topic, TIMEOUT_S).topics[topic].partitions:
        low, high = consumer.get_watermark_offsets(Position(topic, partition), timeout=TIMEOUT_S)
        if high > low:
            yield Position(topic, partition, max(low, high - count)), high


def _read_to(consumer: Consumer, starts: list[tuple[Position, int]]) -> Iterator[Read]:
    """Records up to the ends; a partition may end in control records, so silence ends it too."""
    ends = {position.partition: end for position, end in starts}
    consumer.assign([position for position, _ in starts])
    while ends:
        message = consumer.poll(SILENCE_S)
        if message is None:
            return
        if message.error() is not None:
            raise KafkaException(message.error())
        read = read_of(message)
        number = read.partition.partition
        if read.offset + 1 >= ends.get(number, 0):
            ends.pop(number, None)
        yield read
