"""Kafka: the only user of confluent_kafka."""

from worker.kafka.admin import create_topics, message_limits, missing_topics
from worker.kafka.client import SourceSettings
from worker.kafka.facts import TopicFacts, newest_records, topic_facts
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
    "TopicFacts",
    "TopicReader",
    "TransactionalSink",
    "WatchedSource",
    "create_topics",
    "message_limits",
    "missing_topics",
    "newest_records",
    "produce_all",
    "read_all",
    "topic_facts",
]
