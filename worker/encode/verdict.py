"""What the model says about windows, as columns of the slim score and of the alert's `anomaly`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.encode.columns import (
    END,
    VALUE,
    Cells,
    arrays,
    booleans,
    choices,
    doubles,
    longs,
    maps,
    nullable_doubles,
    nullable_strings,
    same,
    string,
    strings,
    varint,
)
from worker.types.arrays import Float64, Int32, Int64
from worker.types.judgement import Provenance, ScoredBatch
from worker.types.packets import BANDS
from worker.types.windows import MagnitudeKind

FEW_POINTS = 10

FLAGS = (
    "uncalibrated",
    "few_points",
    "late",
    "single_band",
    "negative_subtraction",
    "mixed_kind",
    "cpu_fallback",
)

Columns = dict[str, Cells]


@dataclass(frozen=True, slots=True)
class Names:
    """What the model's numbers stand for, and what the alert carries of them."""

    classes: Sequence[str]
    inputs: Sequence[str]
    window: int
    embedding: bool


def verdict(
    batch: ScoredBatch, rows: Int64, provenance: Provenance, names: Names, now_ms: int
) -> Columns:
    """What alert and slim score have in common, for these windows."""
    scores, pvalues, windows = batch.scores, batch.pvalues, batch.windows
    record = batch.packets.record[windows.packet[rows]]
    source = batch.records.source[record]
    partitions = batch.records.partitions
    count = len(rows)
    shas = [pvalues.calibration_sha256[row] for row in rows.tolist()]
    kinds = choices(windows.kind[rows], [varint(kind) for kind in MagnitudeKind])
    return {
        "survey": same(string(provenance.survey), count),
        "score": doubles(scores.score[rows]),
        "s1": doubles(scores.s1[rows]),
        "s_input": doubles(scores.s_input[rows]),
        "p": nullable_doubles(pvalues.p[rows]),
        "p_input": nullable_doubles(pvalues.p_input[rows]),
        "p_provisional": nullable_doubles(pvalues.p_provisional[rows]),
        "percentile": nullable_doubles(percentiles(batch, rows)),
        "nearest_class": _classes(scores.nearest[rows], names.classes),
        "n_points": longs(windows.n_points[rows]),
        "magnitude_kind": kinds,
        "curve_hash": longs(windows.curve_hash[rows]),
        "flags": _flags(batch, rows, fallback=provenance.cpu_fallback),
        "calibration_sha256": nullable_strings(shas),
        "model": same(string(provenance.model), count),
        "model_version": same(string(provenance.model_version), count),
        "model_sha256": same(string(provenance.model_sha256), count),
        "input_topic": choices(source, [string(tp.topic) for tp in partitions]),
        "input_partition": choices(source, [varint(tp.partition) for tp in partitions]),
        "input_offset": longs(batch.records.offsets[record]),
        "scored_at_ms": same(varint(now_ms), count),
    }


def reasons(batch: ScoredBatch, rows: Int64, names: Names, schema_version: str) -> Columns:
    """What only the full alert carries: why, and how far to trust it."""
    scores, pvalues, windows = batch.scores, batch.pvalues, batch.windows
    record = batch.packets.record[windows.packet[rows]]
    start, stop = windows.offsets[rows], windows.offsets[rows + 1]
    ingested_ms = batch.records.timestamps_ms[record]
    known = longs(ingested_ms)
    points = windows.n_points_band[rows]
    return {
        "schema_version": same(string(schema_version), len(rows)),
        "p_class": nullable_doubles(pvalues.p_class[rows]),
        "p_extrapolated": booleans(pvalues.extrapolated[rows]),
        "n_cal": longs(pvalues.n_cal[rows]),
        "emitted_by": longs(batch.judgement.emitted_by[rows]),
        "second_class": _classes(scores.second[rows], names.classes),
        "class_distances": maps(names.classes, [doubles(c) for c in scores.distances[rows].T]),
        "top_inputs": _top_inputs(batch, rows, names.inputs),
        "neighbours": _neighbours(batch, rows, names.classes),
        "emissions": _emissions(batch, rows),
        "embedding": _embedding(batch, rows, wanted=names.embedding),
        "n_points_band": maps(list(BANDS.values()), [longs(column) for column in points.T]),
        "baseline_days": doubles(windows.jd[stop - 1] - windows.jd[start]),
        "truncated": booleans(stop - start > names.window),
        "ingested_at_ms": [
            b"\x00" if missing else VALUE + cell
            for missing, cell in zip((ingested_ms < 0).tolist(), known, strict=True)
        ],
    }


def percentiles(batch: ScoredBatch, rows: Int64) -> Float64:
    """100 (1 - p); NaN where p is."""
    return 100.0 * (1.0 - batch.pvalues.p[rows])


def _classes(index: Int32, classes: Sequence[str]) -> Cells:
    """Class names; null for a negative index, which is the last entry here."""
    return choices(index, nullable_strings([*classes, None]))


def _flags(batch: ScoredBatch, rows: Int64, *, fallback: bool) -> Cells:
    windows = batch.windows
    packet = windows.packet[rows]
    found = (
        np.isnan(batch.pvalues.p[rows]),
        windows.n_points[rows] < FEW_POINTS,
        batch.curves.late[packet],
        np.count_nonzero(windows.n_points_band[rows], axis=1) == 1,
        ~batch.packets.positive[packet],
        windows.excluded[rows] > 0,
        np.full(len(rows), fallback),
    )
    code = sum(np.left_shift(present.astype(np.int64), bit) for bit, present in enumerate(found))
    codes, place = np.unique(np.asarray(code, dtype=np.int64), return_inverse=True)
    return choices(place, [_flag_array(value) for value in codes.tolist()])


def _flag_array(code: int) -> bytes:
    names = [name for bit, name in enumerate(FLAGS) if code >> bit & 1]
    return b"".join((varint(len(names)), *map(string, names), END)) if names else END


def _top_inputs(batch: ScoredBatch, rows: Int64, names: Sequence[str]) -> Cells:
    scores = batch.scores
    index = scores.top_inputs[rows]
    items = zip(
        choices(index.ravel(), strings(names)),
        doubles(scores.top_values[rows].ravel()),
        doubles(scores.top_typical[rows].ravel()),
        doubles(scores.top_z[rows].ravel()),
        strict=True,
    )
    return arrays(_even(index), [b"".join(item) for item in items])


def _neighbours(batch: ScoredBatch, rows: Int64, classes: Sequence[str]) -> Cells:
    index = batch.scores.neighbours[rows]
    names = choices(index.ravel(), strings(classes))
    distances = doubles(batch.scores.neighbour_distances[rows].ravel())
    return arrays(_even(index), [a + b for a, b in zip(names, distances, strict=True)])


def _emissions(batch: ScoredBatch, rows: Int64) -> Cells:
    earlier = [batch.claims.emissions[row] for row in rows.tolist()]
    flat = [emission for found in earlier for emission in found]
    items = zip(
        longs(np.array([e.candid for e in flat], dtype=np.int64)),
        doubles(np.array([e.jd for e in flat])),
        doubles(np.array([e.p for e in flat])),
        strict=True,
    )
    offsets = np.cumsum([0, *map(len, earlier)]).astype(np.int64)
    return arrays(offsets, [b"".join(item) for item in items])


def _embedding(batch: ScoredBatch, rows: Int64, *, wanted: bool) -> Cells:
    if not wanted:
        return same(b"\x00", len(rows))
    vectors = np.asarray(batch.scores.embedding[rows], dtype="<f4")
    start = VALUE + varint(vectors.shape[1])
    return [start + vector.tobytes() + END for vector in vectors]


def _even(table: Int32) -> Int64:
    """Offsets of rows that all have as many entries as the table is wide."""
    return np.arange(0, table.size + 1, table.shape[1], dtype=np.int64)
