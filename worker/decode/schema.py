"""The static check that an unknown writer schema must pass before anything decodes with it."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import fastavro
import fastavro.schema

from worker.errors import InvalidPacketError

MAX_DEPTH = 16
MAX_FIELDS = 2000
MAX_VALUES = 20_000
"""Values of a record with every named type written out."""

MAX_FIXED_BYTES = 2**24

_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


def parse_schema(text: bytes) -> Any:
    """A checked writer schema, parsed for fastavro.

    InvalidPacketError (schema_refused): not JSON, deeper than 16, more than 2,000 fields, a
    type inside itself (fastavro dies of it), an array of items without size (five bytes can
    announce 10^8 of them), named types that unfold to more than 20,000 values.
    """
    try:
        schema = json.loads(text)
        _Check().visit(schema, depth=0, open_names=())
        # Packets before 4.0 give null as the default of a float: tolerated, as every reader must.
        return fastavro.schema.parse_schema(schema, _ignore_default_error=True)
    except InvalidPacketError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InvalidPacketError("schema_refused", f"unusable schema: {error}"[:200]) from error
    except fastavro.schema.SchemaParseException as error:
        raise InvalidPacketError("schema_refused", f"unusable schema: {error}"[:200]) from error


class _Shape(NamedTuple):
    """What a value of a type is: never any bytes, levels of types inside it, values in it."""

    empty: bool
    height: int
    values: int


class _Check:
    """One walk over a schema. Named types count at each use, as if they were written out."""

    def __init__(self) -> None:
        self._fields = 0
        self._named: dict[str, _Shape] = {}

    def visit(self, schema: Any, depth: int, open_names: tuple[str, ...]) -> _Shape:
        if depth > MAX_DEPTH:
            raise InvalidPacketError("schema_refused", f"schema deeper than {MAX_DEPTH}")
        if isinstance(schema, list):
            branches = [self.visit(branch, depth + 1, open_names) for branch in schema]
            return self._around(branches, empty=False)
        if isinstance(schema, str):
            return self._visit_name(schema, depth, open_names)
        # Values are read as they are on the wire: a date may not fit a date.
        schema.pop("logicalType", None)
        kind = schema["type"]
        if kind in ("record", "error"):
            return self._visit_record(schema, depth, open_names)
        if kind in ("array", "map"):
            return self._visit_items(schema, depth, open_names)
        if kind in ("fixed", "enum"):
            size = schema["size"] if kind == "fixed" else 1
            if not isinstance(size, int) or not 0 <= size <= MAX_FIXED_BYTES:
                raise InvalidPacketError("schema_refused", f"a fixed of {size!r} bytes"[:200])
            return self._keep(schema["name"], _Shape(size == 0, 0, 1))
        return self.visit(kind, depth + 1, open_names)

    def _around(self, inner: Sequence[_Shape], *, empty: bool) -> _Shape:
        values = 1 + sum(shape.values for shape in inner)
        if values > MAX_VALUES:
            raise InvalidPacketError("schema_refused", f"a record of more than {MAX_VALUES} values")
        return _Shape(empty, 1 + max((shape.height for shape in inner), default=0), values)

    def _keep(self, name: str, shape: _Shape) -> _Shape:
        self._named[_short(name)] = shape
        return shape

    def _visit_items(self, schema: Any, depth: int, open_names: tuple[str, ...]) -> _Shape:
        is_array = schema["type"] == "array"
        items = self.visit(schema["items" if is_array else "values"], depth + 1, open_names)
        if items.empty and is_array:
            raise InvalidPacketError("schema_refused", "an array of items without size")
        return self._around([items], empty=False)

    def _visit_name(self, name: str, depth: int, open_names: tuple[str, ...]) -> _Shape:
        if name in _PRIMITIVES:
            return _Shape(name == "null", 0, 1)
        short = _short(name)
        if short in open_names:
            raise InvalidPacketError("schema_refused", f"type {short!r} contains itself"[:200])
        if short not in self._named:
            raise InvalidPacketError("schema_refused", f"unknown type {short!r}"[:200])
        shape = self._named[short]
        if depth + shape.height > MAX_DEPTH:
            raise InvalidPacketError("schema_refused", f"schema deeper than {MAX_DEPTH}")
        return shape

    def _visit_record(self, schema: Any, depth: int, open_names: tuple[str, ...]) -> _Shape:
        name = _short(schema["name"])
        fields = []
        for field in schema["fields"]:
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise InvalidPacketError("schema_refused", f"more than {MAX_FIELDS} fields")
            fields.append(self.visit(field["type"], depth + 1, (*open_names, name)))
        if len({field["name"] for field in schema["fields"]}) < len(fields):
            raise InvalidPacketError("schema_refused", f"a field of {name!r} comes twice"[:200])
        shape = self._around(fields, empty=all(field.empty for field in fields))
        return self._keep(name, shape)


def _short(name: str) -> str:
    """The name without its namespace: a stricter check than the specification's full names."""
    return name.rsplit(".", 1)[-1]
