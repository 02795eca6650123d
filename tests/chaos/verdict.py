"""Compares what came out with the truth, worked out from the input topic alone."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from tests.chaos.traffic import EXPECT
from tests.oracle import expected_outcomes, grouped
from worker.decode import Decoder
from worker.ledger import check
from worker.light_curve import light_curves, merge_points, packed_points
from worker.types.light_curves import StoredCurves
from worker.types.packets import BANDS
from worker.types.records import RecordBatch
from worker.window import WindowPolicy, cut_windows

SHORT_FORM_BYTES = 64 * 1024


@dataclass
class Verdict:
    """`twins`: repeated scores that a restored Redis explains; all else must be zero."""

    records: int = 0
    scored: int = 0
    lost: list = field(default_factory=list)
    duplicated: list = field(default_factory=list)
    wrong: list = field(default_factory=list)
    twins: int = 0
    late: int = 0

    @property
    def clean(self):
        return not (self.lost or self.duplicated or self.wrong)

    def __str__(self):
        first = [*self.lost, *self.duplicated, *self.wrong][:8]
        return (
            f"{self.records} records, {self.scored} scored, {len(self.lost)} lost, "
            f"{len(self.duplicated)} duplicated, {len(self.wrong)} wrong, {self.twins} twins"
            + "".join(f"\n  {text}" for text in first)
        )


def judged(evidence):
    """The verdict on a campaign; pure."""
    verdict = Verdict(records=len(evidence.inputs), scored=len(evidence.scores))
    truth = expected_outcomes([read.value for read in evidence.inputs])
    at = {position(read): row for row, read in enumerate(evidence.inputs)}
    judge_scores(verdict, evidence, truth, at)
    judge_alerts(verdict, evidence)
    judge_letters(verdict, evidence, truth, at)
    judge_books(verdict, evidence, truth)
    judge_state(verdict, evidence)
    return verdict


def position(read):
    return read.partition.topic, read.partition.partition, read.offset


def input_of(record):
    return record["input_topic"], record["input_partition"], record["input_offset"]


def judge_scores(verdict, evidence, truth, at):
    """Every candid that is to be scored is scored once, where its packet lies."""
    found = Counter(input_of(score) for score in evidence.scores)
    verdict.duplicated += [f"scored {n} times: {p}" for p, n in found.items() if n > 1]
    verdict.wrong += [f"score of no input: {p}" for p in found.keys() - at.keys()]
    places = {}
    for where, row in at.items():
        outcome, name, candid = truth[row]
        if outcome in {"scored", "duplicate"}:
            places.setdefault((name, candid), []).append(where)
        elif where in found and not (outcome == "short" and name in evidence.unordered):
            verdict.wrong.append(f"{outcome}, but scored: {where}")
    for (name, candid), wheres in places.items():
        times = sum(where in found for where in wheres)
        if times == 0 and name not in evidence.unordered:
            verdict.lost.append(f"never scored: {name} {candid} at {wheres}")
        elif times > 1 and evidence.restores:
            verdict.twins += times - 1
        elif times > 1:
            verdict.duplicated.append(f"twins: {name} {candid} at {wheres}")
    for score in evidence.scores:
        where = input_of(score)
        if where in at and truth[at[where]][2] != score["candid"]:
            verdict.wrong.append(f"score of another packet: {where}")
    verdict.late = sum("late" in score["flags"] for score in evidence.scores)


def judge_alerts(verdict, evidence):
    """Emitted is what is on the output topic, once."""
    emitted = Counter(input_of(s) for s in evidence.scores if s["outcome"] == "emitted")
    alerts = Counter(input_of(a["anomaly"]) for a in evidence.alerts)
    verdict.duplicated += [f"alert {n} times: {p}" for p, n in alerts.items() if n > 1]
    verdict.lost += [f"emitted, but no alert: {p}" for p in emitted.keys() - alerts.keys()]
    verdict.wrong += [f"alert that was not emitted: {p}" for p in alerts.keys() - emitted.keys()]


def judge_letters(verdict, evidence, truth, at):
    """Every record that can't be read is on the dead-letter topic once, with its reason."""
    wanted = {p: evidence.inputs[row] for p, row in at.items() if truth[row][0] == "dead_letter"}
    found = Counter()
    for letter in evidence.letters:
        headers = dict(letter.headers)
        where = (
            headers["input_topic"].decode(),
            int(headers["input_partition"]),
            int(headers["input_offset"]),
        )
        found[where] += 1
        if where not in wanted:
            verdict.wrong.append(f"dead letter of a good record: {where}")
        elif not is_letter_of(letter, headers, wanted[where]):
            verdict.wrong.append(f"dead letter with other bytes or reason: {where}")
    verdict.lost += [f"no dead letter: {where}" for where in wanted.keys() - found.keys()]
    verdict.duplicated += [f"dead letter {n} times: {p}" for p, n in found.items() if n > 1]


def is_letter_of(letter, headers, read):
    reason = dict(read.headers).get(EXPECT)
    if reason is not None and reason != headers["reason"]:
        return False
    if "value_sha256" not in headers:
        return letter.value == read.value and letter.key == read.key
    digest = hashlib.sha256(read.value).hexdigest().encode()
    return headers["value_sha256"] == digest and letter.value == read.value[:SHORT_FORM_BYTES]


def judge_books(verdict, evidence, truth):
    """The ledger balances, begins at 0, ends at the end, and counts what is true."""
    report = check(evidence.books)
    verdict.wrong += [f"ledger: {fault}" for fault in report.faults]
    if report.records != len(evidence.inputs):
        verdict.wrong.append(f"ledger: {report.records} of {len(evidence.inputs)} records")
    counts, expected = grouped(report.outcomes), Counter(outcome for outcome, _, _ in truth)
    if counts["scored"] != len(evidence.scores):
        verdict.wrong.append(f"ledger: {counts['scored']} scored, not {len(evidence.scores)}")
    # A restored Redis lets twins out, an unordered packet may be short or not.
    for table in (counts, expected):
        loose = [table.pop(name, 0) for name in ("scored", "short", "duplicate")]
        table["scored, short or duplicate"] = sum(loose)
    if +counts != +expected:
        verdict.wrong.append(f"ledger: {dict(counts - expected)}, not {dict(expected - counts)}")


def judge_state(verdict, evidence):
    """Redis holds the facts of the input, no more, no less; scores were made from them."""
    records = as_batch(evidence.inputs)
    packets, _ = Decoder(max_message_bytes=2 * 1024 * 1024).decode(records)
    public = np.flatnonzero(packets.programid == 1).astype(np.int32)
    points, band, packet = packed_points(packets, public)
    expected = true_curves(packets, points, band, packet)
    for cell in expected.keys() | evidence.curves.keys():
        if expected.get(cell) != evidence.curves.get(cell):
            verdict.wrong.append(f"state of {cell} differs")
    hashes = true_hashes(packets, public, expected)
    for score in evidence.scores:
        known = hashes.get((score["objectId"], score["candid"]))
        if known != score["curve_hash"] and score["objectId"] not in evidence.unordered:
            verdict.wrong.append(f"another curve was scored: {input_of(score)}")


def true_curves(packets, points, band, packet):
    """What must be stored, by (objectId, band)."""
    cells = {}
    for row, (owner, number) in enumerate(zip(packet.tolist(), band.tolist(), strict=True)):
        cells.setdefault((packets.object_id[owner], number), []).append(row)
    return {cell: merge_points(points[rows], 512).tobytes() for cell, rows in cells.items()}


def true_hashes(packets, rows, curves):
    """The curve hash of every packet, by (objectId, candid)."""
    index = {name: n for n, name in enumerate(dict.fromkeys(name for name, _ in curves))}
    pieces = [curves.get((n, b), b"") for n in index for b in BANDS]
    seen = light_curves(packets, StoredCurves(rows, index, pieces))
    windows, _ = cut_windows(packets, seen, rows, WindowPolicy())
    return {
        (packets.object_id[row], int(packets.candid[row])): value
        for row, value in zip(windows.packet.tolist(), windows.curve_hash.tolist(), strict=True)
    }


def as_batch(reads):
    partitions = sorted({read.partition for read in reads})
    index = {partition: number for number, partition in enumerate(partitions)}
    return RecordBatch(
        partitions=partitions,
        source=np.array([index[read.partition] for read in reads], dtype=np.int32),
        offsets=np.array([read.offset for read in reads], dtype=np.int64),
        timestamps_ms=np.array([read.timestamp_ms for read in reads], dtype=np.int64),
        values=[read.value or b"" for read in reads],
        keys=[read.key for read in reads],
        headers=[read.headers for read in reads],
        starts=dict.fromkeys(partitions, 0),
    )
