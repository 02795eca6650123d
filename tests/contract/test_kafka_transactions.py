"""What only a real Kafka can show: transactions, fencing, retention, starts."""

import ctypes
import os
import time

import pytest
from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as Position
from confluent_kafka.admin import AdminClient

from tests.contract.brokers import (
    Broker,
    Marks,
    committed,
    copies,
    nothing_more,
    numbers,
    pull,
    rows,
    values_of,
)
from worker.batch import BatchLimits
from worker.errors import BatchAbortedError, ConfigError, RestartRequiredError
from worker.kafka import MockCluster, TransactionalSink
from worker.types.records import TopicPartition


class TestCommit:
    def test_outputs_and_offsets_appear_together(self, broker, opened, unique, stream):
        out = broker.topic()
        source = opened(stream)
        sink = broker.sink(source, unique)
        (batch,) = pull(source, 10)
        assert broker.values(out) == []
        sink.commit(copies(batch, out), batch.next_offsets)
        assert sorted(broker.values(out)) == numbers(10)
        assert committed(broker, unique, stream) == 10

    def test_a_batch_without_outputs_commits_its_offsets(self, broker, opened, unique, stream):
        source = opened(stream)
        sink = broker.sink(source, unique)
        (batch,) = pull(source, 10)
        sink.commit([], batch.next_offsets)
        assert committed(broker, unique, stream) == 10

    def test_a_member_that_was_away_too_long_commits_nothing(self, broker, opened, unique, stream):
        out = broker.topic()
        late = {"max.poll.interval.ms": 1500, "session.timeout.ms": 1500}
        slow = opened(stream, extra=late)
        sink = broker.sink(slow, unique)
        (batch,) = pull(slow, 10)
        # Not polling for longer than it may, the member loses the partition to another one.
        marks = Marks({TopicPartition(stream, 0): 0})
        quick = opened(stream, marks=marks)
        quick_sink = broker.sink(quick, unique, slot="1")
        (again,) = pull(quick, 10)
        quick_sink.commit(copies(again, out), again.next_offsets)
        with pytest.raises(BatchAbortedError):
            sink.commit(copies(batch, out), batch.next_offsets)
        slow.rewind()
        quick.close()
        broker.produce(stream, [b"next"], partition=0)
        (new,) = pull(slow, 1) if not slow.replayed_below(TopicPartition(stream, 0)) else ([],)
        assert sorted(broker.values(out)) == numbers(10)
        assert values_of([new])[-1:] == [b"next"]

    def test_an_aborted_batch_is_invisible_and_comes_again(self, broker, opened, unique, stream):
        out = broker.topic()
        source = opened(stream)
        sink = broker.sink(source, unique)
        (batch,) = pull(source, 10)
        outdate(source)
        with pytest.raises(BatchAbortedError):
            sink.commit(copies(batch, out), batch.next_offsets)
        assert broker.values(out) == []
        assert committed(broker, unique, stream) == 0
        source.rewind()
        (again,) = pull(source, 10)
        assert rows([again]) == rows([batch])
        sink.commit(copies(again, out), again.next_offsets)
        assert sorted(broker.values(out)) == numbers(10)

    def test_aborts_without_end_give_up(self, broker, opened, unique, stream):
        out = broker.topic()
        source = opened(stream)
        sink = broker.sink(source, unique)
        (batch,) = pull(source, 10)
        outdate(source)
        for _ in range(9):
            with pytest.raises(BatchAbortedError):
                sink.commit(copies(batch, out)[:1], batch.next_offsets)
        with pytest.raises(RestartRequiredError, match="in a row"):
            sink.commit(copies(batch, out)[:1], batch.next_offsets)


class TestFencing:
    def test_the_slots_next_owner_fences_the_first(self, broker, opened, unique, stream):
        out = broker.topic()
        source = opened(stream)
        sink = broker.sink(source, unique, slot="7")
        (batch,) = pull(source, 10)
        broker.sink(source, unique, slot="7")
        with pytest.raises(RestartRequiredError, match="slot 7"):
            sink.commit(copies(batch, out), batch.next_offsets)
        assert broker.values(out) == []
        sink.close()

    def test_who_is_fenced_in_the_middle_of_a_transaction_still_ends_quietly(
        self, broker, opened, unique, stream
    ):
        out = broker.topic()
        source = opened(stream)
        sink = broker.sink(source, unique, slot="7")
        (batch,) = pull(source, 10)
        sink._producer.begin_transaction()
        sink._deliveries.send(copies(batch, out))
        broker.sink(source, unique, slot="7")
        offsets = [Position(stream, 0, 10)]
        with pytest.raises(KafkaException):
            sink._producer.send_offsets_to_transaction(offsets, source.group_metadata(), 10)
        sink.close()
        assert broker.values(out) == []

    def test_a_static_member_is_told_that_its_slot_is_taken(self, opened, stream):
        first = opened(stream, instance_id="slot.3")
        pull(first, 10)
        second = opened(stream, instance_id="slot.3")
        with pytest.raises(RestartRequiredError, match="slot"):
            take_turns(second, first)

    def test_what_a_predecessor_left_open_does_not_hold_the_next(
        self, broker, opened, unique, stream
    ):
        out = broker.topic()
        source = opened(stream)
        crashed = broker.sink(source, unique)
        (batch,) = pull(source, 10)
        crashed._producer.begin_transaction()
        crashed._deliveries.send(copies(batch, out))
        offsets = [Position(stream, 0, 10)]
        crashed._producer.send_offsets_to_transaction(offsets, source.group_metadata(), 10)
        source.close()
        successor = opened(stream)
        sink = broker.sink(successor, unique)
        (again,) = pull(successor, 10, seconds=20)
        sink.commit(copies(again, out), again.next_offsets)
        assert sorted(broker.values(out)) == numbers(10)


class TestRetention:
    def test_unread_records_that_are_gone_are_counted(self, broker, opened, unique, stream):
        tp = TopicPartition(stream, 0)
        source = opened(stream, limits=BatchLimits(max_records=3, max_wait_s=0.1))
        sink = broker.sink(source, unique)
        (batch,) = pull(source, 3)
        sink.commit([], batch.next_offsets)
        source.close()
        delete_below(broker, stream, 8)
        after = opened(stream, marks=Marks({tp: 1}))
        assert values_of(pull(after, 2)) == numbers(2, start=8)
        assert after.lost_to_retention == {tp: 5}
        assert after.state_gap == {tp: 2}

    def test_retention_that_passes_a_reader_is_counted(self, broker, opened):
        topic = broker.topic(partitions=1)
        tp = TopicPartition(topic, 0)
        broker.produce(topic, [os.urandom(10_000) for _ in range(400)], partition=0)
        narrow = {
            "fetch.message.max.bytes": 20_000,
            "queued.max.messages.kbytes": 30,
            "queued.min.messages": 1,
        }
        source = opened(topic, limits=BatchLimits(max_records=1, max_wait_s=0.1), extra=narrow)
        batches = pull(source, 1)
        delete_below(broker, topic, 390)
        deadline = time.monotonic() + 30
        while batches[-1].next_offsets != {tp: 400}:
            assert time.monotonic() < deadline
            batches += pull(source, 1)
        read = [offset for _, offset, _ in rows(batches)]
        assert read == sorted(set(read))
        assert set(range(390, 400)) <= set(read)
        assert source.lost_to_retention == {tp: 400 - len(read)}
        assert len(read) < 200
        # The hole lies between two intervals of the ledger, where `ledger` sees it.
        assert all(b.next_offsets[tp] - b.starts[tp] == len(b) for b in batches)


class TestStart:
    def test_an_iso_time(self, broker, opened, stream):
        moment = time.time()
        broker.produce(stream, numbers(3, start=10), partition=0)
        iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
        source = opened(stream, start_at=iso)
        assert values_of(pull(source, 3))[-3:] == numbers(3, start=10)

    def test_an_impossible_start_is_refused_at_once(self, opened, stream):
        with pytest.raises(ConfigError, match="--start-at yesterday"):
            opened(stream, start_at="yesterday")

    def test_an_abort_before_the_first_commit_needs_nobody(self, opened, stream):
        source = opened(stream)
        pull(source, 10)
        source.close()
        # The state merged what was read and the process died before its first commit.
        again = opened(stream, marks=Marks({TopicPartition(stream, 0): 10}))
        assert values_of(pull(again, 10)) == numbers(10)
        assert again.replayed_below(TopicPartition(stream, 0)) == 0


def take_turns(*sources, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for source in sources:
            source.poll_batch()


def delete_below(broker, topic, offset):
    """Retention, by hand."""
    admin = AdminClient(broker.config)
    for future in admin.delete_records([Position(topic, 0, offset)]).values():
        future.result(30)


def test_nothing_is_left_after_everything_was_read(opened, stream):
    source = opened(stream)
    pull(source, 10)
    assert nothing_more(source)


def outdate(source):
    """What was read counts as read in an older generation of the group."""
    last = source._readings.last
    last.metadata = last.metadata[:7] + b"\x63" + last.metadata[8:]


def test_a_coordinator_that_is_lost_in_a_transaction_does_not_hold_the_worker(unique, monkeypatch):
    monkeypatch.setattr("worker.kafka.sink.CALL_TIMEOUT_S", 1.0)
    with MockCluster({unique: 1}, brokers=3) as cluster:
        broker = Broker(cluster.bootstrap, cluster)
        library, handle = cluster._library, ctypes.c_void_p(cluster._cluster)
        transaction = f"anomaly-worker.{unique}.0".encode()
        for kind, key, place in ((b"transaction", transaction, 1), (b"group", unique.encode(), 2)):
            library.rd_kafka_mock_coordinator_set(handle, kind, key, place)
        library.rd_kafka_mock_partition_set_leader(handle, unique.encode(), 0, 1)
        broker.produce(unique, numbers(10), partition=0)
        source = broker.source(unique, group=unique)
        sink = TransactionalSink(broker.config, source, group=unique, slot="0")
        sink.open()
        batches = pull(source, 10)
        sink.commit([], batches[0].next_offsets)
        library.rd_kafka_mock_broker_set_down(handle, 2)
        with pytest.raises(RestartRequiredError, match="coordinator was lost"):
            sink.commit([], batches[0].next_offsets)
        sink.close()
        library.rd_kafka_mock_broker_set_up(handle, 2)
        source.close()
