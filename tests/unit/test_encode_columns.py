"""Whole columns as Avro, byte for byte what fastavro writes."""

import io
import math

import fastavro
import numpy as np
import pytest

from worker.encode.columns import arrays, longs, maps, nullable_doubles, strings, varint


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
