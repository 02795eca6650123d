"""Limits, reading to the end, and nobody there: what the rest of the Kafka room promises."""

import threading

import pytest
from confluent_kafka.admin import AdminClient

from tests.contract.brokers import Marks, committed, copies, numbers, pull
from worker.errors import ConfigError, RestartRequiredError, TransientError, UnavailableError
from worker.kafka import (
    KafkaSource,
    SourceSettings,
    TransactionalSink,
    create_topics,
    message_limits,
    missing_topics,
    produce_all,
)
from worker.kafka.client import close_in_time
from worker.kafka.reader import TopicReader
from worker.topics import TopicSpec
from worker.types.records import Message


class TestLimits:
    def test_a_message_above_the_topics_limit_asks_for_a_restart(
        self, broker, opened, unique, stream
    ):
        out = broker.topic(max_message_bytes=2000)
        source = opened(stream)
        sink = broker.sink(source, unique, **{"compression.type": "none"})
        (batch,) = pull(source, 10)
        with pytest.raises(RestartRequiredError, match="limits"):
            sink.commit([Message(out, None, b"x" * 5000)] * 3, batch.next_offsets)
        assert committed(broker, unique, stream) == 0

    def test_a_message_above_the_producers_limit_asks_for_a_restart(
        self, broker, opened, unique, stream
    ):
        out = broker.topic()
        source = opened(stream)
        sink = broker.sink(source, unique, **{"message.max.bytes": 2000})
        (batch,) = pull(source, 10)
        with pytest.raises(RestartRequiredError, match="limits"):
            sink.commit([Message(out, None, b"x" * 5000)], batch.next_offsets)

    def test_limits_are_the_smaller_of_both_sides(self, broker):
        small, large = broker.topic(max_message_bytes=5000), broker.topic()
        config = {**broker.config, "message.max.bytes": 900_000}
        assert message_limits(config, [small, large]) == {small: 5000, large: 900_000}
        assert message_limits(config, []) == {}

    def test_topics_are_created_once_with_their_settings(self, broker, unique):
        specs = [TopicSpec(f"{unique}.a", 3, 1, {"cleanup.policy": "compact"})]
        names = [f"{unique}.a", f"{unique}.b"]
        assert missing_topics(broker.config, names) == names
        create_topics(broker.config, specs)
        create_topics(broker.config, specs)
        create_topics(broker.config, [])
        assert missing_topics(broker.config, names) == [f"{unique}.b"]
        topic = AdminClient(broker.config).list_topics(timeout=10).topics[f"{unique}.a"]
        assert len(topic.partitions) == 3

    def test_a_topic_that_the_broker_refuses_is_a_setting(self, broker, unique):
        with pytest.raises(ConfigError, match="replication"):
            create_topics(broker.config, [TopicSpec(f"{unique}.r", 1, 3, {})])


class TestReader:
    def test_draining_goes_on_where_it_stopped(self, broker, opened, unique, stream):
        out = broker.topic()
        source = opened(stream)
        sink = broker.sink(source, unique)
        reader = TopicReader(broker.config, out)
        assert list(reader.drain()) == []
        (batch,) = pull(source, 10)
        sink.commit(copies(batch, out), batch.next_offsets)
        assert sorted(read.value for read in reader.drain()) == numbers(10)
        assert list(reader.drain(patience_s=2)) == []
        broker.produce(out, [b"more"])
        (more,) = reader.drain()
        assert (more.value, more.key, more.headers) == (b"more", b"k0", (("h", b"1"),))
        reader.close()

    def test_a_missing_topic_is_named(self, broker, unique):
        with pytest.raises(UnavailableError, match=unique):
            TopicReader(broker.config, unique)


NOWHERE = {"bootstrap.servers": "127.0.0.1:1"}


class TestNobodyThere:
    def test_the_source_waits(self):
        source = KafkaSource(SourceSettings(group="g", topics=("t",)), NOWHERE, Marks())
        with pytest.raises(TransientError):
            source.poll_batch()
        source.heartbeat()
        source.close()

    def test_the_sink_says_so(self):
        source = KafkaSource(SourceSettings(group="g", topics=("t",)), NOWHERE, Marks())
        sink = TransactionalSink(NOWHERE, source, group="g", slot="0")
        with pytest.raises(UnavailableError):
            sink.open(patience_s=1)
        source.close()

    def test_a_misspelt_setting_is_named(self):
        with pytest.raises(ConfigError, match=r"sesion\.timeout"):
            KafkaSource(SourceSettings(group="g"), {"sesion.timeout.ms": 1}, Marks())

    def test_messages_outside_of_transactions_say_so(self, broker, unique):
        with pytest.raises(UnavailableError):
            produce_all({**broker.config, "message.timeout.ms": 500}, [Message(unique, None, b"")])


def test_a_client_that_does_not_close_holds_nobody_up(caplog):
    never = threading.Event()
    close_in_time(never.wait, 0.05)
    assert "did not close" in caplog.text
    caplog.clear()
    close_in_time(lambda: None)
    assert not caplog.text
