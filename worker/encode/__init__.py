"""Columns to messages: alerts, slim scores, dead letters, the ledger."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from worker.encode.avro import ContainerWriter, read_container, schema_text
from worker.encode.night import write_ranking, write_vote
from worker.encode.packet import (
    CUTOUTS,
    PacketReader,
    candidate,
    cutouts,
    detections,
    forced_points,
    non_detections,
    number,
)
from worker.outcome import partition_of
from worker.topics import Topics
from worker.types import (
    BANDS,
    DeadLetter,
    Emission,
    EmittedBy,
    MagnitudeKind,
    Message,
    Provenance,
    RecordBatch,
    ScoredBatch,
)

__all__ = ["Encoder", "read_container", "schema_text", "write_ranking", "write_vote"]

NAMESPACE = uuid.UUID("49bf3aa9-fed6-5d9b-a67f-afd0d9680a09")
"""Of `_id`; fixed for ever, and written in the schema's doc."""

SHORT_FORM_BYTES = 64 * 1024
OVERHEAD_BYTES = 512
"""What a record costs in the log beside key, value and headers, generously."""

DEFAULT_LIMIT_BYTES = 1_000_000
FEW_POINTS = 10
EMISSION_DAYS = 90.0

Fields = dict[str, Any]


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
        self._classes, self._input_names = list(classes), list(input_names)
        self._window, self._programids = window, frozenset(programids)
        self._cutouts, self._embedding = cutouts, embedding
        self._common = [("_format", b"avro"), ("model", provenance.model.encode())]
        if test:
            self._common.append(("_test", b"true"))
        self._alert, self._score = ContainerWriter("anomaly"), ContainerWriter("score")
        self._ledger = ContainerWriter("ledger")
        fields = {field["name"]: field["type"] for field in self._alert.schema["fields"]}
        self._candidate_schema = fields["candidate"]
        self._packets = PacketReader()

    def scores(self, batch: ScoredBatch, now_ms: int) -> list[Message]:
        """One slim message per scored window, emitted or withheld."""
        kinds = ("emitted", "withheld.")
        rows = [r for r, o in enumerate(batch.judgement.outcome) if o.startswith(kinds)]
        return [self._score_message(batch, row, now_ms) for row in rows]

    def alerts(self, batch: ScoredBatch, now_ms: int) -> list[Message]:
        """One full message per emitted window."""
        rows = [r for r, o in enumerate(batch.judgement.outcome) if o == "emitted"]
        return [self._alert_message(batch, row, now_ms) for row in rows]

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

    def _score_message(self, batch: ScoredBatch, row: int, now_ms: int) -> Message:
        packet = int(batch.windows.packet[row])
        packets = batch.packets
        record = {
            "objectId": packets.object_id[packet],
            "candid": int(packets.candid[packet]),
            "jd": float(packets.jd[packet]),
            "ra": float(packets.ra[packet]),
            "dec": float(packets.dec[packet]),
            "band": BANDS[int(packets.band[packet])],
            "magpsf": float(packets.magpsf[packet]),
            "outcome": batch.judgement.outcome[row].removeprefix("withheld."),
            "emissions_90d": _recent(batch.claims.emissions[row], float(packets.jd[packet])),
            **self._verdict(batch, row, now_ms),
        }
        return self._message(self._topics.scores, self._score, record, record)

    def _alert_message(self, batch: ScoredBatch, row: int, now_ms: int) -> Message:
        packet = int(batch.windows.packet[row])
        packets = batch.packets
        source = self._packets.read(packets, packet)
        listed = self._programids
        verdict = {**self._verdict(batch, row, now_ms), **self._reasons(batch, row)}
        record: Fields = {
            "schemavsn": source.get("schemavsn") or "",
            "publisher": source.get("publisher") or "",
            "objectId": packets.object_id[packet],
            "candid": int(packets.candid[packet]),
            "candidate": candidate(self._candidate_schema, source, packets, packet),
            "prv_candidates": detections(packets, batch.curves, packet, listed),
            "prv_nondetections": non_detections(packets, packet, listed),
            "fp_hists": forced_points(packets, packet, listed),
            "cdsxmatch": source.get("cdsxmatch"),
            **cutouts(source, self._cutouts),
            "anomaly": verdict,
        }
        message = self._message(self._topics.out, self._alert, record, verdict)
        if self._fits(message):
            return message
        record.update(dict.fromkeys(CUTOUTS))
        return self._message(self._topics.out, self._alert, record, verdict)

    def _message(
        self, topic: str, writer: ContainerWriter, record: Fields, verdict: Fields
    ) -> Message:
        name = record["objectId"]
        identity = f"{name}/{record['candid']}/{self._provenance.model_sha256}"
        headers = [
            *self._common,
            ("_id", uuid.uuid5(NAMESPACE, identity).bytes),
            ("schema", writer.label.encode()),
        ]
        if verdict["percentile"] is not None:
            headers.append(("percentile", f"{verdict['percentile']:.6g}".encode()))
        return Message(topic, name.encode(), writer.write(record), tuple(headers))

    def _verdict(self, batch: ScoredBatch, row: int, now_ms: int) -> Fields:
        """What alert and slim score have in common."""
        scores, pvalues, windows = batch.scores, batch.pvalues, batch.windows
        record = int(batch.packets.record[windows.packet[row]])
        partition = partition_of(batch.records, record)
        p = number(pvalues.p[row])
        return {
            "survey": self._provenance.survey,
            "score": float(scores.score[row]),
            "s1": float(scores.s1[row]),
            "s_input": float(scores.s_input[row]),
            "p": p,
            "p_input": number(pvalues.p_input[row]),
            "p_provisional": number(pvalues.p_provisional[row]),
            "percentile": None if p is None else 100 * (1 - p),
            "nearest_class": self._class(scores.nearest[row]),
            "n_points": int(windows.n_points[row]),
            "magnitude_kind": MagnitudeKind(int(windows.kind[row])).name.lower(),
            "curve_hash": int(windows.curve_hash[row]),
            "flags": _flags(batch, row),
            "calibration_sha256": pvalues.calibration_sha256[row],
            "model": self._provenance.model,
            "model_version": self._provenance.model_version,
            "model_sha256": self._provenance.model_sha256,
            "input_topic": partition.topic,
            "input_partition": partition.partition,
            "input_offset": int(batch.records.offsets[record]),
            "scored_at_ms": now_ms,
        }

    def _reasons(self, batch: ScoredBatch, row: int) -> Fields:
        """What only the full alert carries: why, and how far to trust it."""
        scores, pvalues, windows = batch.scores, batch.pvalues, batch.windows
        start, stop = windows.offsets[row : row + 2].tolist()
        record = int(batch.packets.record[windows.packet[row]])
        ingested_ms = int(batch.records.timestamps_ms[record])
        return {
            "schema_version": self._alert.label.rpartition("/")[2],
            "p_class": number(pvalues.p_class[row]),
            "p_extrapolated": bool(pvalues.extrapolated[row]),
            "n_cal": int(pvalues.n_cal[row]),
            "emitted_by": EmittedBy(int(batch.judgement.emitted_by[row])).name.lower(),
            "second_class": self._class(scores.second[row]),
            "class_distances": dict(
                zip(self._classes, scores.distances[row].tolist(), strict=True)
            ),
            "top_inputs": self._top_inputs(batch, row),
            "neighbours": [
                {"class": self._classes[c], "distance": d}
                for c, d in zip(
                    scores.neighbours[row].tolist(),
                    scores.neighbour_distances[row].tolist(),
                    strict=True,
                )
            ],
            "emissions": [
                {"candid": e.candid, "jd": e.jd, "p": e.p} for e in batch.claims.emissions[row]
            ],
            "embedding": scores.embedding[row].tolist() if self._embedding else None,
            "n_points_band": dict(
                zip(BANDS.values(), windows.n_points_band[row].tolist(), strict=True)
            ),
            "baseline_days": float(windows.jd[stop - 1] - windows.jd[start]),
            "truncated": stop - start > self._window,
            "ingested_at_ms": None if ingested_ms < 0 else ingested_ms,
        }

    def _top_inputs(self, batch: ScoredBatch, row: int) -> list[Fields]:
        scores = batch.scores
        return [
            {"name": self._input_names[i], "value": value, "typical": typical, "z": z}
            for i, value, typical, z in zip(
                scores.top_inputs[row].tolist(),
                scores.top_values[row].tolist(),
                scores.top_typical[row].tolist(),
                scores.top_z[row].tolist(),
                strict=True,
            )
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

    def _class(self, index: Any) -> str | None:
        return self._classes[int(index)] if int(index) >= 0 else None


def _recent(emissions: Sequence[Emission], jd: float) -> int:
    """Emissions of the 90 days before an epoch."""
    return sum(jd - EMISSION_DAYS <= e.jd < jd for e in emissions)


def _flags(batch: ScoredBatch, row: int) -> list[str]:
    windows, packet = batch.windows, int(batch.windows.packet[row])
    found = {
        "uncalibrated": np.isnan(batch.pvalues.p[row]),
        "few_points": windows.n_points[row] < FEW_POINTS,
        "late": batch.curves.late[packet],
        "single_band": np.count_nonzero(windows.n_points_band[row]) == 1,
        "negative_subtraction": not batch.packets.positive[packet],
        "mixed_kind": windows.excluded[row] > 0,
    }
    return [name for name, present in found.items() if present]
