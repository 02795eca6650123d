"""Columns of values to columns of Avro bytes: one entry per row, joined to records by schema.

A record is the concatenation of its fields, so rows are encoded field by field, each with few
NumPy calls for all rows, and joined at the end.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.types.arrays import Bool, Float64, Int64, Integers, UInt8

Cells = Sequence[bytes]

NULL, VALUE, END = b"\x00", b"\x02", b"\x00"
"""Union branches of [null, type], and the end of an array's or map's blocks."""

VARINT_BYTES = 10


def varint(number: int) -> bytes:
    """One long or length as a zigzag varint."""
    number = number << 1 if number >= 0 else (-number << 1) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def varints(values: Integers) -> tuple[UInt8, Int64]:
    """Ints and longs as rows (N, 10), and how many bytes of each are used."""
    wide = np.asarray(values, dtype=np.int64)
    number = ((wide << 1) ^ (wide >> 63)).view(np.uint64)
    groups = number[:, None] >> (7 * np.arange(VARINT_BYTES, dtype=np.uint64))
    length = np.maximum(1, (groups != 0).sum(axis=1))
    more = np.arange(VARINT_BYTES) < length[:, None] - 1
    return ((groups & np.uint64(0x7F)) | (more * np.uint64(0x80))).astype(np.uint8), length


def longs(values: Integers) -> Cells:
    """Ints and longs."""
    rows, length = varints(values)
    raw, starts = rows.tobytes(), range(0, rows.size, VARINT_BYTES)
    return [raw[at : at + n] for at, n in zip(starts, length.tolist(), strict=True)]


def doubles(values: Float64) -> Cells:
    """Doubles."""
    raw = np.asarray(values, dtype="<f8").tobytes()
    return [raw[at : at + 8] for at in range(0, len(raw), 8)]


def nullable_doubles(values: Float64) -> Cells:
    """[null, double]: what is not finite is null."""
    table = np.empty((len(values), 9), dtype=np.uint8)
    table[:, 0] = VALUE[0]
    table[:, 1:] = np.ascontiguousarray(values, dtype="<f8").view(np.uint8).reshape(-1, 8)
    raw = table.tobytes()
    missing = (~np.isfinite(values)).tolist()
    return [NULL if no else raw[9 * i : 9 * i + 9] for i, no in enumerate(missing)]


def string(text: str) -> bytes:
    """One string."""
    raw = text.encode()
    return varint(len(raw)) + raw


def strings(values: Sequence[str]) -> Cells:
    """Strings; each different one is encoded once."""
    known = {text: string(text) for text in set(values)}
    return [known[text] for text in values]


def nullable_strings(values: Sequence[str | None]) -> Cells:
    """[null, string]."""
    known = {text: NULL if text is None else VALUE + string(text) for text in set(values)}
    return [known[text] for text in values]


def choices(index: Integers, cells: Cells) -> Cells:
    """One of a few encoded values per row."""
    return [cells[i] for i in np.asarray(index).tolist()]


def booleans(values: Bool) -> Cells:
    """Booleans."""
    return choices(values.astype(np.int64), (b"\x00", b"\x01"))


def same(cell: bytes, count: int) -> Cells:
    """The same encoded value in every row."""
    return [cell] * count


def records(schema: Any, columns: Mapping[str, Cells]) -> Cells:
    """Join columns in the order of the record's fields; KeyError where one is missing."""
    parts = [columns[field["name"]] for field in schema["fields"]]
    return [b"".join(row) for row in zip(*parts, strict=True)]


def arrays(offsets: NDArray[np.int64], items: Cells) -> Cells:
    """Arrays of encoded items, rows `offsets[i]:offsets[i + 1]`."""
    return [
        b"".join((varint(stop - start), *items[start:stop], END)) if stop > start else END
        for start, stop in pairwise(offsets.tolist())
    ]


def maps(keys: Sequence[str], values: Sequence[Cells]) -> Cells:
    """Maps with the same keys in every row, one column of encoded values per key."""
    if not keys:
        return same(END, len(values[0]) if values else 0)
    parts: list[Cells] = []
    for key, column in zip(keys, values, strict=True):
        parts += [same(string(key), len(column)), column]
    count = varint(len(keys))
    return [b"".join((count, *row, END)) for row in zip(*parts, strict=True)]
