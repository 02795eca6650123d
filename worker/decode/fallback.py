"""fastavro for the schemas that the compiler refuses, behind the kernel's own walk.

The walk has found every length, index and string right and bounded what arrays announce, so
fastavro can neither crash nor swell.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro
import numpy as np

from worker.decode import kernel
from worker.decode.failures import error_of
from worker.decode.layout import LIMIT_COLUMNS
from worker.decode.library import Entry
from worker.decode.mapping import MAX_VALUES, Survey
from worker.decode.ops import LEVEL_CELLS, walk
from worker.decode.rows import Point, history_rows, object_name, packet_row
from worker.decode.wire import MALFORMED
from worker.types.arrays import Int64

Rows = Mapping[int, Sequence[Point]]


@dataclass(frozen=True, slots=True)
class Decoded:
    """One packet: the object's name, spans as the kernel writes them, rows by table."""

    name: str
    spans: Int64
    rows: Rows


def decode_job(job: Int64, block: bytes, entry: Entry, survey: Survey) -> list[Decoded]:
    """The packets of one job; InvalidPacketError."""
    base = int(job[kernel.ADDRESS])
    start, stop = base + int(job[kernel.START]), base + int(job[kernel.STOP])
    levels = np.empty(LEVEL_CELLS, np.int64)
    found = []
    for _ in range(int(job[kernel.COUNT])):
        spans = np.full((len(survey.spans) + 2, 2), -1, np.int64)
        end = walk(start, stop, entry.code.ctypes.data, spans, levels, MAX_VALUES)
        if end < 0:
            raise error_of(end)
        spans[-1] = start, end
        stream = io.BytesIO(block[start - base : end - base])
        record = fastavro.schemaless_reader(stream, entry.schema, None)
        found.append(_packet(record, spans, survey))
        start = end
    if start != stop:
        raise error_of(MALFORMED)
    return found


def _packet(record: Any, spans: Int64, survey: Survey) -> Decoded:
    own = packet_row(record, survey)
    points, forced = history_rows(record, survey)
    names = [column.name for column in survey.detection.columns]
    kept = [names.index(name) for name in LIMIT_COLUMNS]
    rows: Rows = {
        kernel.PACKET: [own],
        kernel.DETECTION: [point for point in points if point[0] is not None],
        kernel.LIMIT: [(None, [row[i] for i in kept]) for key, row in points if key is None],
        kernel.FORCED: forced,
    }
    return Decoded(object_name(record, survey), spans, rows)
