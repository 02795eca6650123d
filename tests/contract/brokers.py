"""What the contract tests need of a broker, the mock and the real one alike."""

import time
import uuid
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as Position
from confluent_kafka.admin import AdminClient, NewTopic

from worker.batch import BatchLimits
from worker.kafka import AtLeastOnceSink, KafkaSource, SourceSettings, TransactionalSink, read_all
from worker.types.records import Message, TopicPartition

QUICK = {"heartbeat.interval.ms": 300, "fetch.wait.max.ms": 20}


@dataclass
class Broker:
    """A place to make topics, sources and sinks; `mock` has no transactions."""

    bootstrap: str
    mock: Any = None

    @property
    def config(self):
        return {"bootstrap.servers": self.bootstrap}

    def topic(self, partitions=2, name=None, **config):
        name = name or f"in{uuid.uuid4().hex[:10]}"
        if self.mock is not None:
            self.mock.create_topic(name, partitions)
        else:
            options = {key.replace("_", "."): str(value) for key, value in config.items()}
            topic = NewTopic(name, partitions, 1, config=options)
            admin = AdminClient(self.config)  # its answers end with it
            admin.create_topics([topic])[name].result(30)
        return name

    def produce(self, topic, values, partition=None):
        """Values in order; round robin over two partitions unless one is named."""
        producer = Producer(self.config)
        for number, value in enumerate(values):
            where = number % 2 if partition is None else partition
            producer.produce(topic, value, f"k{number}".encode(), partition=where,
                             headers=[("h", b"1")])  # fmt: skip
        assert producer.flush(30) == 0

    def source(self, *topics, group, marks=None, limits=None, extra=(), **settings):
        return KafkaSource(
            SourceSettings(
                group=group,
                topics=topics,
                limits=limits or BatchLimits(max_wait_s=0.1),
                **{"refresh_s": 0.2, **settings},
            ),
            {
                **self.config,
                **QUICK,
                "session.timeout.ms": 6000 if self.mock is None else 1000,
                **dict(extra),
            },
            Marks() if marks is None else marks,
        )

    def sink(self, source, group, slot="0", **config):
        if self.mock is not None:
            sink = AtLeastOnceSink({**self.config, **config}, source)
        else:
            sink = TransactionalSink({**self.config, **config}, source, group=group, slot=slot)
        sink.open()
        return sink

    def values(self, topic):
        """Every committed value of a topic."""
        return [read.value for read in read_all(self.config, topic)]


class Marks(dict):
    """The state's marks: what a test says, None for every other partition."""

    def __call__(self, partitions):
        return {tp: self.get(tp) for tp in partitions}


def numbers(count, start=0):
    return [str(n).encode() for n in range(start, start + count)]


def pull(source, count, seconds=40):
    """Batches until they hold `count` records, the empty ones left out."""
    batches = []
    deadline = time.monotonic() + seconds
    while sum(map(len, batches)) < count:
        assert time.monotonic() < deadline, f"{sum(map(len, batches))} of {count} records came"
        batch = source.poll_batch()
        if len(batch):
            batches.append(batch)
    return batches


def rows(batches):
    """(partition, offset, value) of every record."""
    return [
        (batch.partitions[source].partition, offset, value)
        for batch in batches
        for source, offset, value in zip(
            batch.source.tolist(), batch.offsets.tolist(), batch.values, strict=True
        )
    ]


def values_of(batches):
    return [value for _, _, value in rows(batches)]


def nothing_more(source, polls=5):
    return all(not len(source.poll_batch()) for _ in range(polls))


def partitions(topic, count=2):
    return [TopicPartition(topic, number) for number in range(count)]


def copies(batch, out):
    return [Message(out, None, value, (("h", b"1"),)) for value in batch.values]


def committed(broker, group, topic):
    consumer = Consumer({**broker.config, "group.id": group, "isolation.level": "read_committed"})
    (position,) = consumer.committed([Position(topic, 0)], timeout=30)
    consumer.close()
    return position.offset
