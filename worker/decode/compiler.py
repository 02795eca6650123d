"""Writer schema and survey mapping to the program that fills the survey's tables."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from worker.decode import kernel, ops
from worker.decode.layout import Layout
from worker.decode.mapping import MAX_STRING, Kind, Survey, Table
from worker.decode.program import Program, Schema
from worker.errors import InvalidPacketError

_READS: Mapping[Kind, Mapping[str, int]] = {
    Kind.NUMBER: {"float": ops.FLOAT, "double": ops.DOUBLE, "int": ops.LONG, "long": ops.LONG},
    Kind.INTEGER: {"int": ops.LONG, "long": ops.LONG},
    Kind.SIGN: {"string": ops.SIGN},
}
_IDENTIFIER = {"int": ops.IDENTIFIER, "long": ops.IDENTIFIER}
_NAME = {"string": ops.NAME}


class UnsupportedSchemaError(Exception):
    """A mapped field has a type that the kernel doesn't read; fastavro decodes the packets."""


class SpanProgram(Program):
    """Skips everything, and marks the spans of a survey."""

    def __init__(self, schema: Schema, survey: Survey) -> None:
        self.survey = survey
        super().__init__(schema)

    def write(self, schema: Schema) -> None:
        """Skip a packet's top level."""
        for field in self.resolve(schema)["fields"]:
            if field["name"] in self.survey.spans:
                self.value(field["type"], partial(self.spanned, field["name"], self.skip))
            else:
                self.skip(field["type"])

    def value(self, schema: Schema, write: Callable[[Schema], None]) -> None:
        """`write` for a value that is there, nothing for null."""
        schema = self.resolve(schema)
        if isinstance(schema, list):
            self.union(schema, partial(self.value, write=write))
        elif schema["type"] != "null":
            write(schema)

    def spanned(self, name: str, write: Callable[[Schema], None], schema: Schema) -> None:
        """`write` between the marks of a span."""
        span = self.survey.spans.index(name)
        self.emit(ops.SPAN, span, 0)
        write(schema)
        self.emit(ops.SPAN, span, 1)


class PacketProgram(SpanProgram):
    """Reads the columns of a survey and skips the rest.

    Raises InvalidPacketError (schema_refused) where the schema lacks a field that a packet needs,
    UnsupportedSchemaError.
    """

    def __init__(self, schema: Schema, survey: Survey, layout: Layout) -> None:
        self._layout = layout
        self._identifier: tuple[str, ...] = ()
        super().__init__(schema, survey)

    def write(self, schema: Schema) -> None:
        """Read a packet's top level."""
        survey = self.survey
        if isinstance(self.resolve(schema), list):
            raise InvalidPacketError("schema_refused", "the packet is one of several types")
        fields = self._record(schema, "the packet")
        _require(fields, [survey.object_id, survey.record], "the packet")
        _, own = self.nullable(fields[survey.record])
        own = self._record(own, survey.record)
        _require(own, [c.field for c in survey.packet.columns[: survey.packet.required]],
                 survey.record)  # fmt: skip
        self._identifier = next(
            (p for p in survey.identifiers if p[-1] in (fields, own)[len(p) - 1]), ()
        )
        if not self._identifier:
            raise InvalidPacketError("schema_refused", "the packet has no identifier")
        for name, kind in fields.items():
            self._top_level(name, kind)

    def _top_level(self, name: str, kind: Schema) -> None:
        survey = self.survey
        if name == survey.object_id:
            self._read(kind, _NAME, self._layout.name_span, MAX_STRING)
        elif (name,) == self._identifier:
            self._read(kind, _IDENTIFIER, kernel.PACKET)
        elif name == survey.record:
            self.value(kind, partial(self.spanned, name, self._own))
        elif name in (survey.history, survey.forced_history):
            self.value(kind, partial(self._history, forced=name == survey.forced_history))
        elif name in survey.spans:
            self.value(kind, partial(self.spanned, name, self.skip))
        else:
            self.skip(kind)

    def _record(self, schema: Schema, what: str) -> dict[str, Schema]:
        schema = self.resolve(schema)
        if isinstance(schema, list):
            raise UnsupportedSchemaError(f"{what} is one of several types")
        if schema["type"] != "record":
            raise InvalidPacketError("schema_refused", f"{what} is no record")
        return {field["name"]: field["type"] for field in schema["fields"]}

    def _read(
        self, schema: Schema, reads: Mapping[str, int], target: int, longest: int = 0
    ) -> None:
        self._values += 1
        tag, inner = self.nullable(schema)
        if isinstance(inner, list):
            self.union(inner, partial(self._read, reads=reads, target=target, longest=longest))
        elif inner["type"] in reads:
            self.emit(reads[inner["type"]], target, tag, longest)
        elif inner["type"] != "null":
            raise UnsupportedSchemaError(f"a mapped field is a {inner['type']}"[:200])

    def _own(self, schema: Schema) -> None:
        by_path = self._identifier == (self.survey.record, self._identifier[-1])
        identifier = self._identifier[-1] if by_path else None
        fields = self._record(schema, self.survey.record)
        self._columns(fields, kernel.PACKET, self.survey.packet, identifier)

    def _history(self, schema: Schema, *, forced: bool) -> None:
        if schema["type"] != "array":
            raise UnsupportedSchemaError("a history that is no array")
        self.items(schema, partial(self._point, forced=forced))

    def _point(self, schema: Schema, *, forced: bool) -> None:
        survey = self.survey
        schema = self.resolve(schema)
        if isinstance(schema, list) or schema["type"] != "record":
            raise UnsupportedSchemaError("a history of other things than records")
        fields = self._record(schema, "a history point")
        identified = survey.point_identifier in fields
        forced |= survey.forced_field in fields and not identified
        number = kernel.FORCED if forced else kernel.DETECTION
        self.emit(ops.ROW, number, 0)
        self._columns(fields, number, survey.forced if forced else survey.detection,
                      None if forced else survey.point_identifier)  # fmt: skip
        self.emit(ops.ROW, number, 1)

    def _columns(
        self, fields: Mapping[str, Schema], number: int, table: Table, identifier: str | None
    ) -> None:
        columns = self._layout.fields(number, table)
        for name, kind in fields.items():
            if name == identifier:
                self._read(kind, _IDENTIFIER, number)
            elif name in columns:
                slot, column = columns[name]
                self._read(kind, _READS[column.kind], slot)
            else:
                self.skip(kind)


def _require(fields: Mapping[str, Schema], names: Iterable[str], what: str) -> None:
    missing = [name for name in names if name not in fields]
    if missing:
        raise InvalidPacketError("schema_refused", f"{what} lacks {', '.join(missing)}"[:200])
