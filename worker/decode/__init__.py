"""Bytes to columns: framing, guard, compiled programs, survey mapping."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.decode import kernel
from worker.decode.failures import error_of, field_of
from worker.decode.fallback import Decoded, decode_job
from worker.decode.framing import SchemaLookup
from worker.decode.layout import Layout
from worker.decode.library import Library
from worker.decode.mapping import ZTF, Survey
from worker.decode.ops import END, LEVEL_CELLS, walk
from worker.decode.plan import Guard, Plan, make_plan, recognise
from worker.decode.tables import Jobs, Tables
from worker.errors import InvalidPacketError
from worker.types.outcomes import DeadLetter
from worker.types.packets import PacketBatch
from worker.types.records import RecordBatch


class Decoder:
    """Turns records into columns; its only state is the library of compiled schemas.

    `accept_unknown_schemas`: also those in which a mapped field has a type that the kernel
    doesn't read, which fastavro then decodes. `single_record`: a message of a topic holds exactly
    one record; files may hold several. `lookup`: schemas of messages in Confluent's frame, which
    are refused without it.
    May be used by several threads: the compiled part runs without the GIL. The first instance
    of a process compiles that part, or loads it from its cache.
    """

    def __init__(
        self,
        *,
        max_message_bytes: int = 2 * 1024 * 1024,
        accept_unknown_schemas: bool = True,
        single_record: bool = True,
        lookup: SchemaLookup | None = None,
        survey: Survey = ZTF,
    ) -> None:
        self._survey = survey
        self._layout = Layout(survey)
        self._guard = Guard(
            max_message_bytes, accept_unknown_schemas, single_record, lookup, survey, self._layout
        )
        self._library = Library()
        self._warm_up()

    def decode(self, records: RecordBatch) -> tuple[PacketBatch, list[DeadLetter]]:
        """Columns of every packet, and a dead letter for every record that can't be one.

        A record of several packets is a dead letter as a whole when any of them is bad.
        """
        library = Library() if self._library.is_full else self._library
        plan = make_plan(records.values, self._guard, library)
        # Of two threads that meet a new schema the last one wins: the other meets it again.
        self._library = plan.library
        tables = Tables(self._layout, len(plan.jobs))
        dead = [_dead_letter(record, error) for record, error in plan.refused]
        mapped = np.array([entry.mapped for entry in plan.library.entries], np.bool_)
        for first, stop, is_mapped in _runs(mapped[plan.jobs.cells[:, kernel.PROGRAM]]):
            decode = self._run if is_mapped else self._fall_back
            dead += decode(tables, plan, first, stop)
        dead.sort(key=lambda letter: letter.record)
        return tables.batch(plan.jobs, plan.library, self._survey), dead

    def _run(self, tables: Tables, plan: Plan, first: int, stop: int) -> Iterator[DeadLetter]:
        """Decode jobs by their programs."""
        failures = tables.run(plan.jobs, first, stop, plan.library)
        reported = -1
        for job in np.flatnonzero(failures[:, 0]).tolist():
            record = int(plan.jobs.cells[job, kernel.RECORD])
            if record == reported:
                continue
            reported = record
            code, slot, identifier = failures[job].tolist()
            error = error_of(code, field_of(slot, self._layout, self._survey))
            known = None if identifier == kernel.NULL_IDENTIFIER else identifier
            yield _dead_letter(record, error, known)

    def _fall_back(self, tables: Tables, plan: Plan, first: int, stop: int) -> Iterator[DeadLetter]:
        """Decode jobs by fastavro, a record at a time."""
        records = plan.jobs.cells[first:stop, kernel.RECORD]
        for start, end, _ in _runs(records):
            jobs = range(first + start, first + end)
            try:
                found = [(job, packet) for job in jobs for packet in self._decode_job(plan, job)]
            except InvalidPacketError as error:
                yield _dead_letter(int(records[start]), error)
                continue
            for job, packet in found:
                tables.append(job, packet.name, packet.spans, packet.rows)

    def _decode_job(self, plan: Plan, job: int) -> list[Decoded]:
        cells = plan.jobs.cells[job]
        entry = plan.library.entries[int(cells[kernel.PROGRAM])]
        return decode_job(cells, plan.jobs.blocks[job], entry, self._survey)

    def _warm_up(self) -> None:
        nothing = np.empty((0, kernel.JOB_CELLS), np.int64)
        recognise([], self._guard, self._library)
        Tables(self._layout, 1).run(Jobs(nothing, []), 0, 0, self._library)
        levels = np.empty(LEVEL_CELLS, np.int64)
        walk(0, 0, np.array([END, 0, 0, 0], np.int32).ctypes.data, nothing, levels, 0)


def _runs(values: NDArray[Any]) -> Iterator[tuple[int, int, Any]]:
    """Begin, end and value of each run of equal values."""
    edges = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    for start, stop in pairwise(edges):
        if start < stop:
            yield start, stop, values[start]


def _dead_letter(record: int, error: InvalidPacketError, candid: int | None = None) -> DeadLetter:
    return DeadLetter(record, error.reason, type(error).__name__, str(error), candid)
