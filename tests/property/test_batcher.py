"""The batcher loses and repeats nothing, whatever comes in and whatever is taken away."""

from hypothesis import given
from hypothesis import strategies as st

from worker.batch import Batcher, BatchLimits, Received
from worker.types.records import TopicPartition

PARTITIONS = [TopicPartition("in", number) for number in range(3)]
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "drop"]), st.sampled_from(PARTITIONS), st.integers(0, 40))
)


@given(steps=STEPS)
def test_a_batch_holds_what_was_added_and_not_taken_away(steps):
    batcher, expected, at = Batcher(BatchLimits()), [], dict.fromkeys(PARTITIONS, 100)
    for step, partition, size in steps:
        if step == "drop":
            batcher.drop(partition)
            expected = [row for row in expected if row[0] != partition]
            at[partition] = 100
            continue
        batcher.add(Received(partition, at[partition], 1, None, b"x" * size, ()), 0.0)
        expected.append((partition, at[partition], size))
        at[partition] += 1
    batch = batcher.batch(dict.fromkeys(PARTITIONS, 100))
    got = [
        (batch.partitions[source], offset, len(value))
        for source, offset, value in zip(
            batch.source.tolist(), batch.offsets.tolist(), batch.values, strict=True
        )
    ]
    assert got == expected
    assert batch.next_offsets == {p: at[p] for p in PARTITIONS if at[p] > 100}
    assert batch.starts == dict.fromkeys(batch.next_offsets, 100)


@given(
    sizes=st.lists(st.integers(0, 50), max_size=30),
    records=st.integers(1, 10),
    size=st.integers(1, 200),
)
def test_a_batch_closes_at_its_first_limit(sizes, records, size):
    limits = BatchLimits(max_records=records, max_bytes=size, max_wait_s=1.0)
    batcher, taken = Batcher(limits), []
    for number, width in enumerate(sizes):
        if batcher.closed(0.5):
            break
        batcher.add(Received(PARTITIONS[0], number, 1, None, b"x" * width, ()), 0.0)
        taken.append(width)
    assert len(taken) <= records
    assert sum(taken[:-1]) < size
    assert batcher.closed(0.5) == (len(taken) == records or sum(taken) >= size)
    assert batcher.closed(1.0) == bool(taken) or sum(taken) >= size
