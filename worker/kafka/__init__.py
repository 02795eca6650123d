"""Kafka: the only user of confluent_kafka."""

from worker.kafka.admin import create_topics, message_limits, missing_topics
from worker.kafka.client import SourceSettings
from worker.kafka.mock import MockCluster
from worker.kafka.producer import produce_all
from worker.kafka.reader import Read, TopicReader, read_all
from worker.kafka.sink import AtLeastOnceSink, TransactionalSink
from worker.kafka.source import KafkaSource
from worker.kafka.watched import WatchedSource

__all__ = [
    "AtLeastOnceSink",
    "KafkaSource",
    "MockCluster",
    "Read",
    "SourceSettings",
    "TopicReader",
    "TransactionalSink",
    "WatchedSource",
    "create_topics",
    "message_limits",
    "missing_topics",
    "produce_all",
    "read_all",
]
