"""Many small records at once: columns of Avro bytes as tables with a row per record.

For points of light curves, of which an alert carries hundreds: one NumPy pass over a column
where cells (worker.encode.columns) would be a Python object each.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from worker.encode.columns import END, NULL, VALUE, Cells, varint, varints
from worker.types.arrays import Float64, Int64, Integers, UInt8


class Table(NamedTuple):
    """Encoded values: the first `length[i]` bytes of row *i* of `raw` (N, W)."""

    raw: UInt8
    length: Int64


def longs(values: Integers) -> Table:
    """Ints and longs."""
    return Table(*varints(values))


def doubles(values: Float64) -> Table:
    """Doubles."""
    raw = np.ascontiguousarray(values, dtype="<f8").view(np.uint8).reshape(-1, 8)
    return Table(raw, np.full(len(raw), 8))


def nullable_doubles(values: Float64) -> Table:
    """[null, double]: what is not finite is null."""
    value = present(doubles(values))
    missing = ~np.isfinite(values)
    value.raw[missing, 0] = NULL[0]
    return Table(value.raw, np.where(missing, 1, value.length))


def present(table: Table) -> Table:
    """[null, type] where nothing is null."""
    branch = np.full((len(table.raw), 1), VALUE[0], np.uint8)
    return Table(np.concatenate([branch, table.raw], axis=1), table.length + 1)


def choices(index: Integers, cells: Cells) -> Table:
    """One of a few encoded values per row."""
    width = max(map(len, cells))
    raw = np.frombuffer(b"".join(cell.ljust(width) for cell in cells), np.uint8)
    length = np.array([len(cell) for cell in cells])
    return Table(raw.reshape(-1, width)[index], length[index])


def arrays(schema: Any, columns: Mapping[str, Table], offsets: Int64, prefix: bytes) -> Cells:
    """Arrays of records, rows `offsets[i]:offsets[i + 1]`; `prefix`: a union's branch.

    KeyError where the schema has a field more than there are columns.
    """
    tables = [columns[field["name"]] for field in schema["fields"]]
    widths = [table.raw.shape[1] for table in tables]
    lengths = np.stack([table.length for table in tables], axis=1).astype(np.uint8)
    place = np.concatenate([np.arange(width, dtype=np.uint8) for width in widths])
    used = place < np.repeat(lengths, widths, axis=1)
    content = np.concatenate([table.raw for table in tables], axis=1)[used].tobytes()
    ends = np.concatenate([[0], np.cumsum(lengths.sum(axis=1, dtype=np.int64))])
    bounds, counts = ends[offsets].tolist(), np.diff(offsets).tolist()
    return [
        b"".join((prefix, varint(count), content[a:b], END)) if count else prefix + END
        for count, (a, b) in zip(counts, pairwise(bounds), strict=True)
    ]
