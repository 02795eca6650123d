"""What became of every record of a batch. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.night import night_of_jd, night_of_timestamp, night_of_topic
from worker.types.arrays import Bool, Int32
from worker.types.judgement import ScoredBatch
from worker.types.outcomes import DeadLetter
from worker.types.records import RecordBatch, TopicPartition


@dataclass(frozen=True, slots=True)
class Outcomes:
    """One entry per packet and per undecodable record, the fresh ones only.

    `record`: row in the RecordBatch; `outcome`: a word of OUTCOMES; `night`.
    """

    record: Sequence[int]
    outcome: Sequence[str]
    night: Sequence[str]

    def __len__(self) -> int:
        return len(self.record)

    def counts(self) -> Counter[str]:
        """How many records ended as what."""
        return Counter(self.outcome)


def settle(
    batch: ScoredBatch,
    dead: Sequence[DeadLetter],
    fates: Sequence[str | None],
    short: Int32,
    fresh: Bool,
    longitude: float,
) -> Outcomes:
    """Give every fresh record exactly one outcome and its night.

    `fates`: per packet, None or the skip that the cuts decided; `fresh` (N,): records at or
    above the committed offset. Raises AssertionError when a record would end without outcome:
    that is a bug, and the batch must not be committed.
    """
    ends = _ends(batch, fates, short)
    packets = batch.packets
    units = [
        (record, end, night_of_jd(jd, longitude))
        for record, end, jd in zip(packets.record.tolist(), ends, packets.jd.tolist(), strict=True)
        if fresh[record] and end is not None
    ]
    units += [
        (
            letter.record,
            f"dead_letter.{letter.reason}",
            _night(batch.records, letter.record, longitude),
        )
        for letter in dead
        if fresh[letter.record]
    ]
    expected = int(fresh[packets.record].sum()) + sum(bool(fresh[x.record]) for x in dead)
    if len(units) != expected or {unit[0] for unit in units} != set(np.flatnonzero(fresh)):
        raise AssertionError("a record of the batch has no outcome")
    return Outcomes(
        record=[unit[0] for unit in units],
        outcome=[unit[1] for unit in units],
        night=[unit[2] for unit in units],
    )


def _ends(batch: ScoredBatch, fates: Sequence[str | None], short: Int32) -> list[str | None]:
    """The outcome of every packet: what the cuts, the length or the judgement made of it."""
    ends = list(fates)
    for row in short.tolist():
        ends[row] = "skipped.short"
    for row, outcome in zip(batch.windows.packet.tolist(), batch.judgement.outcome, strict=True):
        ends[row] = outcome
    return ends


def unscorable(batch: ScoredBatch) -> list[DeadLetter]:
    """Alerts whose score is not finite, as dead letters of that alert alone."""
    return [
        DeadLetter(
            record=int(batch.packets.record[packet]),
            reason="non_finite_score",
            error_class="NonFiniteScore",
            error="the model gave no finite score",
            candid=int(batch.packets.candid[packet]),
            object_id=batch.packets.object_id[packet],
        )
        for packet, outcome in zip(
            batch.windows.packet.tolist(), batch.judgement.outcome, strict=True
        )
        if outcome == "dead_letter.non_finite_score"
    ]


def partition_of(records: RecordBatch, row: int) -> TopicPartition:
    """The partition that a record came from."""
    return records.partitions[int(records.source[row])]


def _night(records: RecordBatch, row: int, longitude: float) -> str:
    """The night of a record without readable jd: the topic's date, else the broker's time."""
    topic = partition_of(records, row).topic
    return night_of_topic(topic) or night_of_timestamp(int(records.timestamps_ms[row]), longitude)
