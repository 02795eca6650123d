"""A batch is read while the one before is worked on: nothing is lost, nothing is mixed up."""

import time

import pytest

from tests.contract.brokers import (
    Broker,
    Marks,
    copies,
    nothing_more,
    numbers,
    pull,
    rows,
    values_of,
)
from worker.batch import BatchLimits
from worker.errors import BatchAbortedError
from worker.kafka import MockCluster

FIVE = BatchLimits(max_records=5, max_wait_s=0.1)


@pytest.fixture(params=["mock", "kafka"])
def broker(request):
    if request.param == "kafka":
        yield Broker(request.getfixturevalue("kafka_bootstrap"))
        return
    with MockCluster() as cluster:
        yield Broker(cluster.bootstrap, cluster)


def ahead_of(source, seconds=20):
    """What was read ahead, once something waits."""
    deadline = time.monotonic() + seconds
    while not len(batch := source.read_ahead()):
        assert time.monotonic() < deadline, "nothing came"
    return batch


def test_batches_read_ahead_tile_and_commit_one_after_the_other(broker, opened, unique, stream):
    out, marks = broker.topic(), Marks()
    source = opened(stream, limits=FIVE, marks=marks)
    sink = broker.sink(source, unique)
    (first,) = pull(source, 1)
    second = ahead_of(source)
    assert values_of([first, second]) == numbers(10)
    assert first.next_offsets == second.starts
    sink.commit(copies(first, out), first.next_offsets)
    source.advance()
    assert not len(source.read_ahead())
    sink.commit(copies(second, out), second.next_offsets)
    assert sorted(broker.values(out)) == numbers(10)
    source.close()
    marks.update(second.next_offsets)
    assert nothing_more(opened(stream, marks=marks))


def test_nothing_to_read_ahead_does_not_wait(broker, opened, stream):
    source = opened(stream, limits=BatchLimits(max_wait_s=5.0))
    pull(source, 10)
    started = time.monotonic()
    assert not len(source.read_ahead())
    assert time.monotonic() - started < 2.0


def test_a_rewind_drops_what_was_read_ahead(broker, opened, stream):
    source = opened(stream, limits=FIVE)
    (first,) = pull(source, 1)
    ahead_of(source)
    source.rewind()
    again = pull(source, 10)
    assert rows(again)[:5] == rows([first])
    assert values_of(again) == numbers(10)
    assert nothing_more(source)


def test_a_rewind_keeps_what_was_committed(broker, opened, unique, stream):
    out = broker.topic()
    source = opened(stream, limits=FIVE)
    sink = broker.sink(source, unique)
    (first,) = pull(source, 1)
    second = ahead_of(source)
    sink.commit(copies(first, out), first.next_offsets)
    source.advance()
    source.rewind()
    assert rows(pull(source, 5)) == rows([second])
    assert nothing_more(source)


def test_a_partition_that_leaves_meanwhile_is_not_committed(broker, opened, unique):
    topic, out, marks = broker.topic(partitions=2), broker.topic(), Marks()
    broker.produce(topic, numbers(10))
    one = opened(topic, limits=FIVE, marks=marks)
    sink = broker.sink(one, unique, slot="0")
    (batch,) = pull(one, 1)
    two = opened(topic, limits=FIVE, marks=marks)
    deadline = time.monotonic() + 60
    while len(one._positions) == 2:
        assert time.monotonic() < deadline, "no partition moved"
        one.read_ahead()
        two.poll_batch()
    gone = next(tp for tp in batch.partitions if tp not in one._positions)
    with pytest.raises(BatchAbortedError):
        sink.commit(copies(batch, out), {gone: batch.next_offsets.get(gone, 0)})
