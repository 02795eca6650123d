"""Columns to messages: alerts, slim scores, dead letters, the ledger."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

import numpy as np

from worker.encode.avro import ContainerWriter, read_container, schema_text
from worker.encode.columns import NULL, Cells, doubles, longs, records, same, strings
from worker.encode.history import bands, detections, forced_points, non_detections
from worker.encode.night import write_ranking, write_vote
from worker.encode.packet import CUTOUTS, PacketCopier
from worker.encode.verdict import Names, percentiles, reasons, verdict
from worker.outcome import partition_of
from worker.topics import Topics
from worker.types.arrays import Int64
from worker.types.judgement import Provenance, ScoredBatch
from worker.types.outcomes import DeadLetter
from worker.types.records import Headers, Message, RecordBatch

__all__ = ["Encoder", "read_container", "schema_text", "write_ranking", "write_vote"]

NAMESPACE = UUID("49bf3aa9-fed6-5d9b-a67f-afd0d9680a09")
"""Of `_id`; fixed for ever, and written in the schema's doc."""

SHORT_FORM_BYTES = 64 * 1024
OVERHEAD_BYTES = 512
"""What a record costs in the log beside key, value and headers, generously."""

DEFAULT_LIMIT_BYTES = 1_000_000
EMISSION_DAYS = 90.0


class Encoder:
    """Writes the messages of a batch; knows the model's names and the topics' limits.

    `limits`: per topic the largest message in bytes; `test` marks messages with `_test`.
    """

    def __init__(
        self,
        topics: Topics,
        provenance: Provenance,
        *,
        classes: Sequence[str],
        input_names: Sequence[str],
        window: int,
        programids: Sequence[int],
        cutouts: Literal["none", "bytes", "struct"] = "bytes",
        embedding: bool = False,
        test: bool = False,
        limits: Mapping[str, int] | None = None,
    ) -> None:
        self._topics, self._provenance, self._limits = topics, provenance, limits or {}
        self._names = Names(classes, input_names, window, embedding)
        self._listed = np.isin(np.arange(256), list(programids))
        self._common = [("_format", b"avro"), ("model", provenance.model.encode())]
        if test:
            self._common.append(("_test", b"true"))
        self._alert, self._score = ContainerWriter("anomaly"), ContainerWriter("score")
        self._ledger = ContainerWriter("ledger")
        self._copier = PacketCopier(self._alert.field("candidate"), cutouts)

    def scores(self, batch: ScoredBatch, now_ms: int) -> list[Message]:
        """One slim message per scored window, emitted or withheld."""
        rows = _rows(batch, ("emitted", "withheld."))
        outcomes = [batch.judgement.outcome[row].removeprefix("withheld.") for row in rows.tolist()]
        packets, packet = batch.packets, batch.windows.packet[rows]
        columns = {
            **_identity(batch, rows),
            **{name: doubles(getattr(packets, name)[packet]) for name in _SCORE_FACTS},
            "band": bands(packets.band[packet]),
            "outcome": strings(outcomes),
            "emissions_90d": longs(_emissions_before(batch, rows)),
            **verdict(batch, rows, self._provenance, self._names, now_ms),
        }
        values = self._score.contain(records(self._score.schema, columns))
        headers = self._headers(batch, rows, self._score.label)
        return self._messages(self._topics.scores, batch, rows, values, headers)

    def alerts(self, batch: ScoredBatch, now_ms: int) -> list[Message]:
        """One full message per emitted window; without stamps where it would be too large."""
        rows = _rows(batch, ("emitted",))
        if not len(rows):
            return []
        columns = self._alert_columns(batch, rows, now_ms)
        headers = self._headers(batch, rows, self._alert.label)
        messages = [
            self._messages(self._topics.out, batch, rows, self._alert.contain(bodies), headers)
            for bodies in _with_and_without_stamps(self._alert.schema, columns)
        ]
        return [whole if self._fits(whole) else slim for whole, slim in zip(*messages, strict=True)]

    def dead_letters(self, records: RecordBatch, dead: Sequence[DeadLetter]) -> list[Message]:
        """The original bytes with the reason in headers; a short form where they are too many."""
        return [self._dead_letter(records, letter) for letter in dead]

    def ledger(self, content: Mapping[str, Any]) -> Message:
        """The books of the batch."""
        key = f"{self._provenance.group}/{self._provenance.slot}".encode()
        return Message(
            self._topics.ledger,
            key,
            self._ledger.write(dict(content)),
            (("_format", b"avro"), ("schema", self._ledger.label.encode())),
        )

    def _alert_columns(self, batch: ScoredBatch, rows: Int64, now_ms: int) -> dict[str, Cells]:
        packets, packet, listed = batch.packets, batch.windows.packet[rows], self._listed
        field = self._alert.field
        anomaly = {
            **verdict(batch, rows, self._provenance, self._names, now_ms),
            **reasons(batch, rows, self._names, self._alert.label.rpartition("/")[2]),
        }
        return {
            **_identity(batch, rows),
            **self._copier.columns(packets, packet),
            "prv_candidates": detections(
                _items(field("prv_candidates")), packets, batch.curves, packet, listed
            ),
            "prv_nondetections": non_detections(
                _items(field("prv_nondetections")), packets.non_detections, packet, listed
            ),
            "fp_hists": forced_points(_items(field("fp_hists")), packets.forced, packet, listed),
            "anomaly": records(field("anomaly"), anomaly),
        }

    def _headers(self, batch: ScoredBatch, rows: Int64, label: str) -> list[Headers]:
        packets = batch.packets
        schema, model = ("schema", label.encode()), self._provenance.model_sha256
        result: list[Headers] = []
        ranks = percentiles(batch, rows).tolist()
        for packet, percentile in zip(batch.windows.packet[rows].tolist(), ranks, strict=True):
            name = f"{packets.object_id[packet]}/{packets.candid[packet]}/{model}"
            headers = [*self._common, ("_id", _uuid5(name)), schema]
            if percentile == percentile:  # noqa: PLR0124 - not NaN
                headers.append(("percentile", b"%.6g" % percentile))
            result.append(headers)
        return result

    def _messages(
        self,
        topic: str,
        batch: ScoredBatch,
        rows: Int64,
        values: Sequence[bytes],
        headers: Sequence[Headers],
    ) -> list[Message]:
        names = (batch.packets.object_id[row] for row in batch.windows.packet[rows].tolist())
        return [
            Message(topic, name.encode(), value, found)
            for name, value, found in zip(names, values, headers, strict=True)
        ]

    def _dead_letter(self, records: RecordBatch, letter: DeadLetter) -> Message:
        row = letter.record
        partition = partition_of(records, row)
        headers = [
            ("reason", letter.reason.encode()),
            ("error_class", letter.error_class.encode()),
            ("error", letter.error.encode("utf-8", "replace")[:1024]),
            ("input_topic", partition.topic.encode()),
            ("input_partition", str(partition.partition).encode()),
            ("input_offset", str(int(records.offsets[row])).encode()),
            ("input_timestamp_ms", str(int(records.timestamps_ms[row])).encode()),
            ("worker_version", self._provenance.worker_version.encode()),
        ]
        if letter.candid is not None:
            headers.append(("candid", str(letter.candid).encode()))
        if letter.object_id is not None:
            headers.append(("objectId", letter.object_id.encode()))
        received = [(f"input.{name}", value) for name, value in records.headers[row]]
        value = records.values[row]
        topic, key = self._topics.dead_letters, records.keys[row]
        whole = Message(topic, key, value, (*headers, *received))
        if self._fits(whole):
            return whole
        headers += [
            ("value_sha256", hashlib.sha256(value).hexdigest().encode()),
            ("value_length", str(len(value)).encode()),
        ]
        short = Message(topic, key, value[:SHORT_FORM_BYTES], (*headers, *received))
        if self._fits(short):
            return short
        # Only a hostile record has keys or headers of this size.
        return Message(topic, (key or b"")[:1024], value[:SHORT_FORM_BYTES], tuple(headers))

    def _fits(self, message: Message) -> bool:
        size = OVERHEAD_BYTES + len(message.value or b"") + len(message.key or b"")
        size += sum(len(name) + len(value) + 8 for name, value in message.headers)
        return size <= self._limits.get(message.topic, DEFAULT_LIMIT_BYTES)


_SCORE_FACTS = ("jd", "ra", "dec", "magpsf")
"""Columns of the packet that the slim score repeats."""


def _rows(batch: ScoredBatch, outcomes: tuple[str, ...]) -> Int64:
    """Windows with such an outcome."""
    found = [row for row, o in enumerate(batch.judgement.outcome) if o.startswith(outcomes)]
    return np.array(found, dtype=np.int64)


def _identity(batch: ScoredBatch, rows: Int64) -> dict[str, Cells]:
    packets, packet = batch.packets, batch.windows.packet[rows]
    return {
        "objectId": strings([packets.object_id[row] for row in packet.tolist()]),
        "candid": longs(packets.candid[packet]),
    }


def _emissions_before(batch: ScoredBatch, rows: Int64) -> Int64:
    """Emissions of each window's object in the EMISSION_DAYS before it."""
    jds = batch.packets.jd[batch.windows.packet[rows]].tolist()
    known = (batch.claims.emissions[row] for row in rows.tolist())
    counts = [
        sum(jd - EMISSION_DAYS <= e.jd < jd for e in emissions) if emissions else 0
        for emissions, jd in zip(known, jds, strict=True)
    ]
    return np.array(counts, dtype=np.int64)


def _with_and_without_stamps(schema: Any, columns: Mapping[str, Cells]) -> tuple[Cells, Cells]:
    nothing = same(NULL, len(columns["objectId"]))
    return records(schema, columns), records(schema, {**columns, **dict.fromkeys(CUTOUTS, nothing)})


def _items(union: Any) -> Any:
    """The record in a nullable array of records."""
    return union[1]["items"]


def _uuid5(name: str) -> bytes:
    """UUIDv5 of a name in NAMESPACE, its 16 bytes (RFC 9562, section 5.5)."""
    digest = hashlib.sha1(NAMESPACE.bytes + name.encode(), usedforsecurity=False).digest()
    return b"".join(
        (digest[:6], bytes((digest[6] & 0x0F | 0x50, digest[7], digest[8] & 0x3F | 0x80)),
         digest[9:16])
    )  # fmt: skip
