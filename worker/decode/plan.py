"""From messages to jobs for the kernel, behind the guard.

In this order: size, header, schema, codec with a cap, number of records; rules for values are
the kernel's. The ordinary messages of a stream pass all of it in `container`, without Python.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from worker.decode import container, kernel
from worker.decode.framing import Block, SchemaLookup, unframe
from worker.decode.layout import Layout
from worker.decode.library import Entry, Library, addresses_of, make_entry
from worker.decode.mapping import Survey
from worker.decode.tables import Jobs
from worker.errors import InvalidPacketError
from worker.types.arrays import Int64

MAX_REFUSED = 32
"""Refused schemas that are remembered: at most 8 MiB of text, a header being 256 KiB."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Limits for messages, and whose packets they hold (see `Decoder`).

    `refused`: why schemas were refused, so that a stream of them is parsed once.
    """

    max_message_bytes: int
    accept_unknown_schemas: bool
    single_record: bool
    lookup: SchemaLookup | None
    survey: Survey
    layout: Layout
    refused: dict[bytes, tuple[str, str]] = field(default_factory=dict)

    def open(self, value: bytes, library: Library) -> tuple[Library, int, list[Block]]:
        """The schema's number in a library that has it, and the blocks; InvalidPacketError."""
        if len(value) > self.max_message_bytes:
            raise InvalidPacketError("too_large", f"{len(value)} bytes")
        text, rest = unframe(value, self.lookup)
        if text not in library.numbers:
            library = library.add(self._entry(text))
        blocks, count = [], 0
        for block in rest:
            count += block.count
            if self.single_record and count > 1:
                raise InvalidPacketError("multi_record", "more than one record in a message")
            blocks.append(block)
        if count == 0:
            raise InvalidPacketError("multi_record", "no record in a message")
        return library, library.numbers[text], blocks

    def _entry(self, text: bytes) -> Entry:
        known = self.refused.get(text)
        if known is not None:
            raise InvalidPacketError(*known)
        try:
            return self._checked(text)
        except InvalidPacketError as error:
            if len(self.refused) >= MAX_REFUSED:
                self.refused.clear()
            self.refused[text] = error.reason, str(error)
            raise

    def _checked(self, text: bytes) -> Entry:
        entry = make_entry(text, self.survey, self.layout)
        if not (entry.mapped or self.accept_unknown_schemas):
            raise InvalidPacketError("schema_unknown", "a mapped field has an unknown type")
        return entry


@dataclass(frozen=True, slots=True)
class Plan:
    """Jobs in the order of the records, their schemas, and why other records have none."""

    jobs: Jobs
    library: Library
    refused: Sequence[tuple[int, InvalidPacketError]]


def make_plan(values: Sequence[bytes], guard: Guard, library: Library) -> Plan:
    """Jobs for messages; schemas that are new are added to the plan's library."""
    addresses, found = recognise(values, guard, library)
    is_ordinary = found[:, container.SCHEMA] >= 0
    rows = np.flatnonzero(is_ordinary)
    cells = np.empty((len(rows), kernel.JOB_CELLS), np.int64)
    cells[:, kernel.ADDRESS] = addresses[rows]
    cells[:, kernel.START] = found[rows, container.START]
    cells[:, kernel.STOP] = found[rows, container.STOP]
    cells[:, kernel.COUNT] = 1
    cells[:, kernel.RECORD] = rows
    cells[:, kernel.PROGRAM] = found[rows, container.SCHEMA]
    if len(rows) == len(values):
        return Plan(Jobs(cells, values), library, [])

    blocks = [values[row] for row in rows.tolist()]
    others: list[tuple[int, ...]] = []
    refused = []
    for row in np.flatnonzero(~is_ordinary).tolist():
        try:
            library, number, opened = guard.open(values[row], library)
        except InvalidPacketError as error:
            refused.append((row, error))
            continue
        others += [(0, b.start, b.stop, b.count, row, number) for b in opened]
        blocks += [b.data for b in opened]
    return Plan(_in_order(cells, others, blocks), library, refused)


def recognise(values: Sequence[bytes], guard: Guard, library: Library) -> tuple[Int64, Int64]:
    """Addresses of messages, and what `container.recognise` finds in them."""
    addresses = addresses_of(values)
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    found = np.empty((len(values), 3), np.int64)
    container.recognise(
        addresses, lengths, library.addresses, library.lengths, guard.max_message_bytes, found
    )
    return addresses, found


def _in_order(cells: Int64, others: Sequence[tuple[int, ...]], blocks: Sequence[bytes]) -> Jobs:
    """Jobs by record; those of one record stay in their order."""
    more = np.array(others, np.int64).reshape(-1, kernel.JOB_CELLS)
    more[:, kernel.ADDRESS] = addresses_of(blocks[len(cells) :])
    cells = np.concatenate([cells, more])
    order = np.argsort(cells[:, kernel.RECORD], kind="stable")
    return Jobs(cells[order], [blocks[job] for job in order.tolist()])
