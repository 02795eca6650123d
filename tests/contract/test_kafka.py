"""One suite for the mock cluster (at least once) and a real Kafka (transactions)."""

import time
from datetime import UTC, datetime

import pytest

from tests.contract.brokers import (
    Broker,
    Marks,
    nothing_more,
    numbers,
    partitions,
    pull,
    rows,
    values_of,
)
from worker.batch import BatchLimits
from worker.errors import BatchAbortedError, ConfigError, TransientError
from worker.kafka import MockCluster, produce_all, read_all
from worker.types.records import Message, TopicPartition


@pytest.fixture(params=["mock", "kafka"])
def broker(request):
    if request.param == "kafka":
        yield Broker(request.getfixturevalue("kafka_bootstrap"))
        return
    with MockCluster() as cluster:
        yield Broker(cluster.bootstrap, cluster)


class TestBatches:
    def test_records_arrive_whole_and_in_order_of_their_partition(self, broker, opened):
        topic = broker.topic()
        broker.produce(topic, numbers(20))
        batches = pull(opened(topic), 20)
        for partition in (0, 1):
            mine = [row for row in rows(batches) if row[0] == partition]
            assert [offset for _, offset, _ in mine] == list(range(10))
            assert [value for *_, value in mine] == numbers(20)[partition::2]
        first = batches[0]
        assert first.keys[0] in {b"k0", b"k1"}
        assert list(first.headers[0]) == [("h", b"1")]
        assert first.timestamps_ms[0] > 1_600_000_000_000

    def test_intervals_of_following_batches_tile(self, broker, opened):
        topic = broker.topic()
        broker.produce(topic, numbers(40))
        position = dict.fromkeys(partitions(topic), 0)
        for batch in pull(opened(topic, limits=BatchLimits(max_records=7, max_wait_s=0.1)), 40):
            assert len(batch) <= 7
            for tp, start in batch.starts.items():
                assert start == position[tp]
                position[tp] = batch.next_offsets[tp]
        assert set(position.values()) == {20}

    def test_a_batch_closes_at_its_bytes(self, broker, opened):
        topic = broker.topic()
        broker.produce(topic, [b"x" * 1000] * 40)
        limits = BatchLimits(max_records=40, max_bytes=5000, max_wait_s=1)
        batches = pull(opened(topic, limits=limits), 40)
        assert sum(map(len, batches)) == 40

    def test_no_topic_yet_is_an_empty_batch(self, broker, opened, unique):
        source = opened(f"later{unique}")
        assert len(source.poll_batch()) == 0
        broker.topic(name=f"later{unique}")
        broker.produce(f"later{unique}", numbers(4))
        assert sorted(values_of(pull(source, 4))) == numbers(4)

    def test_a_nightly_topic_that_appears_later_is_read(self, broker, opened, unique):
        name = f"{unique}_{datetime.now(UTC):%Y%m%d}_programid1"
        redrive = broker.topic()
        source = opened(
            topic_template=unique + "_{night:%Y%m%d}_programid{programid}", redrive_topic=redrive
        )
        broker.produce(redrive, [b"again"])
        assert values_of(pull(source, 1)) == [b"again"]
        broker.topic(name=name)
        broker.produce(name, numbers(6))
        assert sorted(values_of(pull(source, 6))) == numbers(6)


class TestPositions:
    def test_rewind_repeats_the_batch(self, broker, opened):
        topic = broker.topic()
        broker.produce(topic, numbers(30))
        source = opened(topic, limits=BatchLimits(max_records=10, max_wait_s=0.1))
        first = pull(source, 1)
        source.rewind()
        again = pull(source, 30)
        assert sorted(rows(again)) == sorted(set(rows(first)) | set(rows(again)))
        assert len(rows(again)) == 30
        assert all(start == 0 for tp, start in first[0].starts.items())

    def test_a_restart_goes_on_from_the_commit(self, broker, opened, unique):
        topic, out = broker.topic(), broker.topic()
        broker.produce(topic, numbers(20))
        marks = Marks()
        source = opened(topic, marks=marks, limits=BatchLimits(max_records=6, max_wait_s=0.1))
        sink = broker.sink(source, unique)
        (batch,) = pull(source, 1)
        marks.update(batch.next_offsets)
        sink.commit([Message(out, None, value) for value in batch.values], batch.next_offsets)
        source.close()
        sink.close()
        rest = pull(opened(topic, marks=marks), 20 - len(batch))
        assert sorted(values_of([batch, *rest])) == sorted(numbers(20))
        assert sorted(broker.values(out)) == sorted(batch.values)

    def test_a_lower_mark_reads_again_what_the_state_lacks(self, broker, opened, unique):
        topic, out = broker.topic(partitions=1), broker.topic()
        broker.produce(topic, numbers(10), partition=0)
        self._commit_all(broker, opened, unique, topic, out)
        tp = TopicPartition(topic, 0)
        source = opened(topic, marks=Marks({tp: 6}))
        broker.produce(topic, numbers(2, start=10), partition=0)
        batches = pull(source, 6)
        assert values_of(batches) == numbers(6, start=6)
        assert source.replayed_below(tp) == 10
        assert batches[0].starts[tp] == 10, "the ledger's interval begins at the commit"

    def test_a_missing_mark_reads_the_whole_log_again(self, broker, opened, unique):
        topic, out = broker.topic(partitions=1), broker.topic()
        broker.produce(topic, numbers(10), partition=0)
        self._commit_all(broker, opened, unique, topic, out)
        source = opened(topic)
        assert values_of(pull(source, 10)) == numbers(10)
        assert source.replayed_below(TopicPartition(topic, 0)) == 10

    def test_a_mark_without_a_commit_stops_and_names_the_way_out(self, broker, opened):
        topic = broker.topic(partitions=1)
        broker.produce(topic, numbers(10), partition=0)
        marks = Marks({TopicPartition(topic, 0): 7})
        with pytest.raises(ConfigError, match="--start-at"):
            pull(opened(topic, marks=marks), 1)
        stored = opened(topic, marks=marks, start_at="stored", group=f"{topic}.stored")
        assert values_of(pull(stored, 3)) == numbers(3, start=7)

    @pytest.mark.parametrize(("word", "count"), [("earliest", 10), ("latest", 0)])
    def test_start_at_words(self, broker, opened, word, count):
        topic = broker.topic(partitions=1)
        broker.produce(topic, numbers(10), partition=0)
        source = opened(topic, start_at=word)
        # The first record after the start proves where it was.
        while not source._positions:
            got = source.poll_batch()
        broker.produce(topic, [b"after"], partition=0)
        batches = [got, *pull(source, count + 1 - len(got))]
        assert values_of(batches) == [*numbers(count), b"after"]

    @staticmethod
    def _commit_all(broker, opened, unique, topic, out):
        source = opened(topic)
        sink = broker.sink(source, unique)
        for batch in pull(source, 10):
            sink.commit([Message(out, None, v) for v in batch.values], batch.next_offsets)
        source.close()
        sink.close()


class TestWaiting:
    def test_the_state_being_away_costs_no_record_and_no_membership(self, broker, opened):
        topic = broker.topic()
        broker.produce(topic, numbers(20))
        away = [True]

        def marks(tps):
            if away[0]:
                raise TransientError("redis is away")
            return dict.fromkeys(tps)

        source = opened(topic, marks=marks)
        with pytest.raises(TransientError, match="redis is away"):
            pull(source, 1)
        for _ in range(20):
            source.heartbeat()
        away[0] = False
        assert sorted(values_of(pull(source, 20))) == sorted(numbers(20))
        assert nothing_more(source)

    def test_heartbeats_between_batches_lose_and_repeat_nothing(self, broker, opened):
        topic = broker.topic()
        broker.produce(topic, numbers(60))
        source = opened(topic, limits=BatchLimits(max_records=5, max_wait_s=0.1))
        batches = []
        while sum(map(len, batches)) < 60:
            batches += pull(source, 1)
            for _ in range(3):
                source.heartbeat()
        assert sorted(values_of(batches)) == sorted(numbers(60))
        assert nothing_more(source)

    def test_a_rewind_after_heartbeats_repeats_the_batch(self, broker, opened):
        topic = broker.topic()
        broker.produce(topic, numbers(20))
        source = opened(topic, limits=BatchLimits(max_records=5, max_wait_s=0.1))
        pull(source, 1)
        source.heartbeat()
        source.rewind()
        source.heartbeat()
        assert sorted(values_of(pull(source, 20))) == sorted(numbers(20))
        assert nothing_more(source)

    def test_lag_counts_down_to_nothing(self, broker, opened):
        topic = broker.topic()
        broker.produce(topic, numbers(20))
        source = opened(topic)
        pull(source, 20)
        assert source.lag() == dict.fromkeys(partitions(topic), 0)


class TestMembers:
    def test_two_members_lose_and_repeat_nothing(self, broker, opened, unique):
        topic, out = broker.topic(partitions=4), broker.topic()
        for partition in range(4):
            broker.produce(topic, numbers(25, start=100 * partition), partition=partition)
        limits = BatchLimits(max_records=3, max_wait_s=0.05)
        marks = Marks()
        one = opened(topic, marks=marks, limits=limits)
        sinks = {one: broker.sink(one, unique, slot="0")}
        self._work(one, sinks[one], marks, out)
        two = opened(topic, marks=marks, limits=limits)
        sinks[two] = broker.sink(two, unique, slot="1")
        deadline = time.monotonic() + 60
        while not (two._positions and len(one._positions) < 4):
            assert time.monotonic() < deadline, "the second member got no partition"
            for source, sink in sinks.items():
                self._work(source, sink, marks, out)
        two.close()
        wanted = {str(100 * p + n).encode() for p in range(4) for n in range(25)}
        idle = 0
        while set(marks.values()) != {25} or idle < 5:
            assert time.monotonic() < deadline + 60, "records are missing"
            idle = 0 if self._work(one, sinks[one], marks, out) else idle + 1
        got = broker.values(out)
        assert set(got) == wanted
        if broker.mock is None:
            assert len(got) == len(wanted)

    @staticmethod
    def _work(source, sink, marks, out):
        batch = source.poll_batch()
        if not len(batch):
            return False
        marks.update(batch.next_offsets)
        try:
            sink.commit([Message(out, None, v) for v in batch.values], batch.next_offsets)
        except BatchAbortedError:
            source.rewind()
        return True


class TestProducing:
    def test_a_key_goes_where_java_clients_send_it(self, broker, unique):
        topic = broker.topic(partitions=8)
        keys = [f"ZTF18ab{unique}{n}".encode() for n in range(40)]
        produce_all(broker.config, [Message(topic, key, b"v") for key in keys])
        found = {read.key: read.partition.partition for read in read_all(broker.config, topic)}
        assert found == {key: (murmur2(key) & 0x7FFFFFFF) % 8 for key in keys}


def murmur2(data):
    """MurmurHash2 as Kafka's Java client defines it (seed 0x9747b28c), unsigned 32 bit."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15
