"""The writer schemas seen so far with their programs, found by exact comparison of their bytes."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worker.decode.compiler import PacketProgram, SpanProgram, UnsupportedSchemaError
from worker.decode.layout import Layout
from worker.decode.mapping import Survey
from worker.decode.schema import parse_schema
from worker.types.arrays import Int32, Int64

MAX_SCHEMAS = 256
MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One writer schema: its bytes, parsed for fastavro, and its program.

    `mapped`: the program fills the tables; otherwise it only marks spans, and fastavro decodes.
    """

    text: bytes
    schema: Any
    code: Int32
    mapped: bool


def make_entry(text: bytes, survey: Survey, layout: Layout) -> Entry:
    """Check and compile a schema; InvalidPacketError (schema_refused)."""
    schema = parse_schema(text)
    try:
        return Entry(text, schema, PacketProgram(schema, survey, layout).code, mapped=True)
    except UnsupportedSchemaError:
        return Entry(text, schema, SpanProgram(schema, survey).code, mapped=False)


@dataclass(frozen=True, slots=True)
class Library:
    """Entries, and where the kernel finds them. Never changed, only replaced.

    `numbers`: entry of each schema. `addresses`, `lengths` (S,): the schemas' bytes;
    `programs` (S,): addresses of their programs.
    """

    entries: tuple[Entry, ...] = ()
    numbers: dict[bytes, int] = field(default_factory=dict)
    addresses: Int64 = field(default_factory=lambda: np.empty(0, np.int64))
    lengths: Int64 = field(default_factory=lambda: np.empty(0, np.int64))
    programs: Int64 = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def is_full(self) -> bool:
        """Whether it is time to start again: schemas in use come back at once."""
        return len(self.entries) >= MAX_SCHEMAS or int(self.lengths.sum()) > MAX_BYTES

    def add(self, entry: Entry) -> "Library":
        """A library that has this entry as well, as its last."""
        entries = (*self.entries, entry)
        return Library(
            entries,
            {**self.numbers, entry.text: len(self.entries)},
            addresses_of([e.text for e in entries]),
            np.array([len(e.text) for e in entries], np.int64),
            np.append(self.programs, entry.code.ctypes.data),
        )


def addresses_of(values: Sequence[bytes]) -> Int64:
    """Where bytes lie in memory, for as long as somebody keeps them alive."""
    pointers = (ctypes.c_char_p * len(values))(*values)
    return (
        np.frombuffer(memoryview(pointers).cast("B"), np.int64) if values else np.empty(0, np.int64)
    )
