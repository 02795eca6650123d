"""Any Avro schema to a flat program that walks over its values."""

from collections.abc import Callable
from typing import Any

import numpy as np

from worker.decode import ops
from worker.decode.wire import NO_UNION
from worker.types.arrays import Int32

Schema = Any

_SIZES = {"null": 0, "boolean": 1, "float": 4, "double": 8}
_VARIABLE = {"int": ops.VARINT, "long": ops.VARINT,
             "string": ops.TEXT, "bytes": ops.BYTES}  # fmt: skip
_LONGEST_RUN = 2**30


class Program:
    """Ops as they are written; `code` (n, 4) int32 is the finished program (see `ops`).

    `schema` must have passed the static check and carry full names, as fastavro parses it.
    This class skips everything; a subclass reads.
    """

    def __init__(self, schema: Schema) -> None:
        self._ops: list[list[int]] = []
        self._names: dict[str, Schema] = {}
        self._barrier = self._level = self._values = 0
        self._collect(schema)
        self.write(schema)
        self.emit(ops.END)
        self.code: Int32 = np.array(self._ops, dtype=np.int32)

    def write(self, schema: Schema) -> None:
        """Write the program of the whole record."""
        self.skip(schema)

    def emit(self, op: int, a: int = 0, b: int = 0, c: int = 0) -> int:
        """Write one op; its number."""
        self._ops.append([op, a, b, c])
        return len(self._ops) - 1

    def resolve(self, schema: Schema) -> Schema:
        """A union's list, or the definition of any other type with its name under `type`."""
        if isinstance(schema, list):
            return schema
        if isinstance(schema, str):
            return self._names.get(schema, {"type": schema})
        if not isinstance(schema["type"], str):
            return self.resolve(schema["type"])
        return schema if "name" in schema else self._names.get(schema["type"], schema)

    def _collect(self, schema: Schema) -> None:
        """Note every named type: a field may be looked at before the one that defines its type."""
        if isinstance(schema, list):
            for branch in schema:
                self._collect(branch)
        if not isinstance(schema, dict):
            return
        if "name" in schema:
            self._names[schema["name"]] = schema
        for inner in (schema["type"], schema.get("items"), schema.get("values")):
            self._collect(inner)
        for field in schema.get("fields", ()):
            self._collect(field["type"])

    def nullable(self, schema: Schema) -> tuple[int, Schema]:
        """Tag (see `wire`) and type of a plain type or of a union of null and one type.

        Any other union is returned as it is.
        """
        schema = self.resolve(schema)
        if not isinstance(schema, list):
            return NO_UNION, schema
        branches = [self.resolve(branch) for branch in schema]
        is_null = [isinstance(b, dict) and b["type"] == "null" for b in branches]
        if sorted(is_null) != [False, True]:
            return NO_UNION, schema
        value = is_null.index(False)
        return 2 * value, branches[value]

    def skip(self, schema: Schema) -> None:
        """Skip a value of any type."""
        tag, inner = self.nullable(schema)
        if isinstance(inner, list):
            self.union(inner, self.skip)
        elif inner["type"] in _SIZES or inner["type"] == "fixed":
            self._values += 1
            size = inner["size"] if inner["type"] == "fixed" else _SIZES[inner["type"]]
            self._skip_fixed(tag, size)
        elif inner["type"] in _VARIABLE:
            self._values += 1
            self._emit_run(_VARIABLE[inner["type"]], 1, tag)
        elif tag != NO_UNION:
            self.union(self.resolve(schema), self.skip)
        else:
            self._skip_complex(inner)

    def union(self, branches: list[Schema], write: Callable[[Schema], None]) -> None:
        """A jump table, and what `write` makes of each branch."""
        self.emit(ops.UNION, len(branches))
        jumps = [self.emit(ops.JUMP) for _ in branches]
        ends = []
        for jump, branch in zip(jumps, branches, strict=True):
            self._ops[jump][1] = self._here()
            write(branch)
            ends.append(self.emit(ops.JUMP))
        for end in ends:
            self._ops[end][1] = self._here()

    def items(self, schema: Schema, write: Callable[[Schema], None]) -> None:
        """A loop over the blocks and items of an array or map."""
        level, self._level = self._level, self._level + 1
        before = self._values
        self._here()
        items = self.emit(ops.ITEMS, level)
        first = self._here()
        if schema["type"] == "map":
            self._emit_run(ops.TEXT, 1, NO_UNION)
        write(schema["items" if schema["type"] == "array" else "values"])
        self.emit(ops.NEXT, level, first, items)
        self._ops[items][2:] = [self._here(), 1 + self._values - before]
        self._level = level

    def _skip_fixed(self, tag: int, size: int) -> None:
        if tag != NO_UNION:
            self._emit_run(ops.NULLABLE, 1, tag, size)
        elif size:
            self._emit_run(ops.FIXED, size)

    def _skip_complex(self, schema: Schema) -> None:
        self._values += 1
        if schema["type"] == "enum":
            self.emit(ops.ENUM, len(schema["symbols"]))
        elif schema["type"] in {"array", "map"}:
            self.items(schema, self.skip)
        else:
            for field in schema["fields"]:
                self.skip(field["type"])

    def _emit_run(self, op: int, count: int, b: int = 0, c: int = 0) -> None:
        """A skip, merged with the one before it where both are alike."""
        last = self._ops[-1] if len(self._ops) > self._barrier else [-1, 0, 0, 0]
        if (last[0], last[2], last[3]) == (op, b, c) and last[1] + count < _LONGEST_RUN:
            last[1] += count
        else:
            self.emit(op, count, b, c)

    def _here(self) -> int:
        """The next op's number, as a target of jumps: nothing is merged across it."""
        self._barrier = len(self._ops)
        return self._barrier
