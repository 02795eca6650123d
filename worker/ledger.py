"""The books: what one transaction writes, and whether all of them balance. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.outcome import Outcomes, partition_of
from worker.types.judgement import Provenance
from worker.types.outcomes import OUTCOMES
from worker.types.records import RecordBatch, TopicPartition

SCHEMA_VERSION = "1.0.0"


def ledger_record(
    records: RecordBatch, outcomes: Outcomes, provenance: Provenance, now_ms: int
) -> dict[str, Any]:
    """One transaction's books: per partition its interval and the outcomes by night."""
    counts: dict[TopicPartition, Counter[tuple[str, str]]] = {}
    for row, outcome, night in zip(outcomes.record, outcomes.outcome, outcomes.night, strict=True):
        partition = partition_of(records, row)
        counts.setdefault(partition, Counter())[night, outcome] += 1
    nexts = records.next_offsets
    return {
        "schema_version": SCHEMA_VERSION,
        "group": provenance.group,
        "slot": provenance.slot,
        "worker_version": provenance.worker_version,
        "model_sha256": provenance.model_sha256,
        "committed_at_ms": now_ms,
        "partitions": [
            {
                "topic": partition.topic,
                "partition": partition.partition,
                "start": records.starts[partition],
                "next": nexts[partition],
                "records": sum(found.values()),
                "outcomes": [
                    {"night": night, "outcome": outcome, "count": count}
                    for (night, outcome), count in sorted(found.items())
                ],
            }
            for partition, found in counts.items()
        ],
    }


@dataclass(slots=True)
class Report:
    """What the books say. `faults`: sentences about what does not balance."""

    transactions: int = 0
    records: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    by_night: dict[str, Counter[str]] = field(default_factory=dict)
    offsets_without_record: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        """Whether every interval tiles and every sum is right."""
        return not self.faults

    def total(self, prefix: str) -> int:
        """Records whose outcome is `prefix` or begins with it and a dot."""
        return sum(
            count
            for outcome, count in self.outcomes.items()
            if outcome == prefix or outcome.startswith(f"{prefix}.")
        )


def check(books: Iterable[Mapping[str, Any]], group: str | None = None) -> Report:
    """Check that intervals tile without hole or overlap and that every sum is right.

    `books`: ledger records of one output, in any order; `group`: only this group's.
    """
    report = Report()
    intervals: dict[tuple[str, str, int], list[tuple[int, int]]] = {}
    for book in books:
        if group is not None and book["group"] != group:
            continue
        report.transactions += 1
        for part in book["partitions"]:
            name = (book["group"], part["topic"], part["partition"])
            intervals.setdefault(name, []).append((part["start"], part["next"]))
            _add(report, name, part)
    for name, spans in sorted(intervals.items()):
        _tile(report, name, sorted(spans))
    return report


def _add(report: Report, name: tuple[str, str, int], part: Mapping[str, Any]) -> None:
    where = f"{name[1]}/{name[2]} [{part['start']}, {part['next']})"
    counted = 0
    for entry in part["outcomes"]:
        counted += entry["count"]
        report.outcomes[entry["outcome"]] += entry["count"]
        night = report.by_night.setdefault(entry["night"], Counter())
        night[entry["outcome"]] += entry["count"]
        if entry["outcome"] not in OUTCOMES:
            report.faults.append(f"{where}: unknown outcome {entry['outcome']!r}")
    report.records += part["records"]
    if counted != part["records"]:
        report.faults.append(f"{where}: {part['records']} records, {counted} outcomes")
    width = part["next"] - part["start"]
    if part["records"] < width:
        label = f"{name[1]}/{name[2]}"
        missing = width - part["records"]
        report.offsets_without_record[label] = report.offsets_without_record.get(label, 0) + missing
    if part["records"] > width > 0:
        report.faults.append(f"{where}: {part['records']} records in {width} offsets")
    if width <= 0:
        report.faults.append(f"{where}: the interval is empty or runs backwards")


def _tile(report: Report, name: tuple[str, str, int], spans: Iterable[tuple[int, int]]) -> None:
    where = f"{name[1]}/{name[2]} (group {name[0]})"
    expected: int | None = None
    for start, stop in spans:
        if expected is not None and start > expected:
            report.faults.append(f"{where}: hole from {expected} to {start}")
        if expected is not None and start < expected:
            report.faults.append(f"{where}: overlap from {start} to {min(expected, stop)}")
        expected = stop if expected is None else max(expected, stop)
