"""Whole columns as Avro, byte for byte what fastavro writes."""

import io
import math

import fastavro
import numpy as np
import pytest

from worker.encode import tables
from worker.encode.columns import VALUE, arrays, longs, maps, nullable_doubles, strings, varint


def written(schema, value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


@pytest.mark.parametrize(
    "number", [0, 1, -1, 63, 64, -64, -65, 2**31, -(2**31), 2**62, 2**63 - 1, -(2**63)]
)
def test_a_long_is_what_avro_writes(number):
    assert longs(np.array([number])) == [written("long", number)] == [varint(number)]


def test_columns_are_what_avro_writes():
    numbers = np.array([1.5, math.nan, -0.0, math.inf])
    kind = ["null", "double"]
    assert nullable_doubles(numbers) == [
        written(kind, number if math.isfinite(number) else None) for number in numbers.tolist()
    ]
    assert strings(["g", "é", "", "g"]) == [written("string", s) for s in ["g", "é", "", "g"]]
    table = {"type": "map", "values": "int"}
    assert maps(["a", "b"], [longs(np.array([1])), longs(np.array([2]))]) == [
        written(table, {"a": 1, "b": 2})
    ]
    items = longs(np.array([5, 6, 7]))
    assert arrays(np.array([0, 0, 3]), items) == [
        written({"type": "array", "items": "long"}, found) for found in ([], [5, 6, 7])
    ]


def test_arrays_of_records_are_what_avro_writes():
    fields = {"n": ["null", "long"], "x": ["null", "double"], "y": "double", "band": "string"}
    schema = {"type": "record", "name": "point",
              "fields": [{"name": n, "type": t} for n, t in fields.items()]}  # fmt: skip
    n = np.array([0, -(2**63), 2**63 - 1, 64, -1])
    x = np.array([1.5, math.nan, math.inf, -0.0, math.nan])
    bands = ["g", "long name", "g", "", "g"]
    names = sorted(set(bands))
    columns = {
        "band": tables.choices(np.array([names.index(b) for b in bands]), strings(names)),
        "n": tables.present(tables.longs(n)),
        "x": tables.nullable_doubles(x),
        "y": tables.doubles(-x),
    }
    rows = [{"n": int(a), "x": b if math.isfinite(b) else None, "y": -b, "band": c}
            for a, b, c in zip(n, x.tolist(), bands, strict=True)]  # fmt: skip
    kind = ["null", {"type": "array", "items": schema}]
    assert tables.arrays(schema, columns, np.array([0, 2, 2, 5]), VALUE) == [
        written(kind, part) for part in (rows[:2], [], rows[2:])
    ]
    with pytest.raises(KeyError, match="y"):
        tables.arrays(schema, {k: v for k, v in columns.items() if k != "y"}, n[:0], VALUE)
