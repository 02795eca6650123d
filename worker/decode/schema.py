"""The static check that an unknown writer schema must pass before anything decodes with it."""

import json
from typing import Any

import fastavro
import fastavro.schema

from worker.errors import InvalidPacketError

MAX_DEPTH = 16
MAX_FIELDS = 2000

_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


def parse_schema(text: bytes) -> Any:
    """A checked writer schema, parsed for fastavro.

    InvalidPacketError (schema_refused): not JSON, deeper than 16, more than 2,000 fields, a
    type inside itself (fastavro dies of it), an array or map of items without size (five bytes
    can announce 10^8 of them).
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


class _Check:
    """One walk over a schema; `visit` returns whether a value of it can be empty on the wire."""

    def __init__(self) -> None:
        self._fields = 0
        self._empty: dict[str, bool] = {}

    def visit(self, schema: Any, depth: int, open_names: tuple[str, ...]) -> bool:
        if depth > MAX_DEPTH:
            raise InvalidPacketError("schema_refused", "schema deeper than 16")
        if isinstance(schema, list):
            for branch in schema:
                self.visit(branch, depth + 1, open_names)
            return False
        if isinstance(schema, str):
            return self._visit_name(schema, open_names)
        kind = schema["type"]
        if kind in ("record", "error"):
            return self._visit_record(schema, depth, open_names)
        if kind in ("array", "map"):
            return self._visit_items(schema, depth, open_names)
        if kind in ("fixed", "enum"):
            self._empty[_short(schema["name"])] = schema.get("size") == 0
            return bool(schema.get("size") == 0)
        return self.visit(kind, depth + 1, open_names)

    def _visit_items(self, schema: Any, depth: int, open_names: tuple[str, ...]) -> bool:
        is_array = schema["type"] == "array"
        items = schema["items" if is_array else "values"]
        if self.visit(items, depth + 1, open_names) and is_array:
            raise InvalidPacketError("schema_refused", "an array of items without size")
        return False

    def _visit_name(self, name: str, open_names: tuple[str, ...]) -> bool:
        if name in _PRIMITIVES:
            return name == "null"
        short = _short(name)
        if short in open_names:
            raise InvalidPacketError("schema_refused", f"type {short!r} contains itself"[:200])
        if short not in self._empty:
            raise InvalidPacketError("schema_refused", f"unknown type {short!r}"[:200])
        return self._empty[short]

    def _visit_record(self, schema: Any, depth: int, open_names: tuple[str, ...]) -> bool:
        name = _short(schema["name"])
        empty = True
        for field in schema["fields"]:
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise InvalidPacketError("schema_refused", "more than 2,000 fields")
            empty &= self.visit(field["type"], depth + 1, (*open_names, name))
        self._empty[name] = empty
        return empty


def _short(name: str) -> str:
    """The name without its namespace: a stricter check than the specification's full names."""
    return name.rsplit(".", 1)[-1]
