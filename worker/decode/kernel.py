"""The kernel: runs programs over many messages at once and fills the tables of rows.

Addresses and errors share one number: what is negative is an error.
"""

from typing import Any, NamedTuple

import numpy as np

from worker.decode import ops
from worker.decode.jit import compiled, part
from worker.decode.ops import LEVEL_CELLS, VALUES, cell, jump, skip
from worker.decode.wire import (
    MALFORMED,
    read_double,
    read_float,
    read_name,
    read_sign,
    read_tag,
    read_varint,
)

NULL_IDENTIFIER = -(2**63)

INVALID_VALUE, TOO_MANY_POINTS, FULL = -4, -5, -6
"""Errors beyond those of `wire` and `ops`."""

PACKET, DETECTION, FORCED, LIMIT = 0, 1, 2, 3
TABLES = 4
"""Tables of rows. A DETECTION without identifier is written as a LIMIT."""

_PACKET: Any = np.int64(PACKET)
"""As the kernel's own type of integers: Numba would compile functions for literals as well."""

POINTS, SLOT = 4, 5
STATE_CELLS = 6
"""Cells of `state`: rows filled per table; then of the packet in hand its history points, and
the slot of an error (IDENTIFIER_SLOT, NAME_SLOT)."""

IDENTIFIER_SLOT, NAME_SLOT = -1, -2

ADDRESS, START, STOP, COUNT, RECORD, PROGRAM = 0, 1, 2, 3, 4, 5
JOB_CELLS = 6
"""Cells of a job: `COUNT` packets between two offsets from an address, and the number of their
program. Jobs of one record are neighbours."""


class Rules(NamedTuple):
    """What rows look like (see `layout`).

    `values` (slots, 3): smallest, largest, sentinel. `counts` (tables, 3): columns, columns that
    may not be null, the same with an identifier. `slots` (tables, most columns).
    `max_points`, `max_values`: of one packet's history, and in its arrays and maps.
    """

    values: Any
    counts: Any
    slots: Any
    max_points: int
    max_values: int


class Output(NamedTuple):
    """Where rows go: by table rows of columns, owners, identifiers; spans of packets; `state`.

    `spans` (P, S, 2): the last is the packet's body, the one before it the object's name.
    """

    columns: Any
    owners: Any
    keys: Any
    spans: Any
    state: Any


class Hand(NamedTuple):
    """Scratch: the row in hand, identifiers by table, `levels` (see `ops`), rows to go back to."""

    row: Any
    identifiers: Any
    levels: Any
    marks: Any


def make_hand(slots: int) -> Hand:
    """Scratch for rows of so many slots; the kernel itself can't allocate."""
    return Hand(
        np.empty(slots),
        np.empty(TABLES, np.int64),
        np.empty(LEVEL_CELLS, np.int64),
        np.empty(TABLES, np.int64),
    )


@part
def _number(pos: int, end: int, op: int) -> Any:
    if op == ops.FLOAT:
        return read_float(pos, end)
    if op == ops.DOUBLE:
        return read_double(pos, end)
    if op == ops.SIGN:
        return read_sign(pos, end)
    value, behind = read_varint(pos, end)
    return np.float64(value), behind


@part
def _read(
    pos: int, end: int, code: int, pc: int, rules: Any, hand: Any, span: Any, state: Any
) -> int:
    op, target = cell(code, pc, 0), cell(code, pc, 1)
    marked = read_tag(pos, end, cell(code, pc, 2))
    pos = marked >> 1
    if marked < 0 or marked & 1:
        return marked if marked < 0 else pos
    if op == ops.IDENTIFIER:
        hand.identifiers[target], pos = read_varint(pos, end)
        return pos
    if op == ops.NAME:
        span[target, 0], pos = read_name(pos, end, cell(code, pc, 3))
        span[target, 1] = pos
        return pos
    value, pos = _number(pos, end, op)
    # NaN and the sentinel stand for null: the slot stays as it is.
    if pos < 0 or np.isnan(value) or value == rules.values[target, 2]:
        return pos
    if not rules.values[target, 0] <= value <= rules.values[target, 1]:
        state[SLOT] = target
        return INVALID_VALUE
    hand.row[target] = value
    return pos


@part
def _begin_row(table: int, rules: Any, hand: Any) -> None:
    hand.identifiers[table] = NULL_IDENTIFIER
    for column in range(rules.counts[table, 0]):
        hand.row[rules.slots[table, column]] = np.nan


@part
def _end_row(table: int, owner: int, rules: Any, hand: Any, output: Any) -> int:
    """Check a row and write it to its table; 0, or an error."""
    state = output.state
    known = hand.identifiers[table] != NULL_IDENTIFIER
    kind = LIMIT if table == DETECTION and not known else table
    if table == PACKET and not known:
        state[SLOT] = IDENTIFIER_SLOT
        return INVALID_VALUE
    for column in range(rules.counts[table, 2 if known else 1]):
        slot = rules.slots[table, column]
        if np.isnan(hand.row[slot]):
            state[SLOT] = slot
            return INVALID_VALUE
    if table != PACKET:
        state[POINTS] += 1
        if state[POINTS] > rules.max_points:
            return TOO_MANY_POINTS
    index = state[kind]
    if index >= len(output.keys[kind]):
        return FULL
    for column in range(rules.counts[kind, 0]):
        output.columns[kind][index, column] = hand.row[rules.slots[kind, column]]
    output.owners[kind][index] = owner
    output.keys[kind][index] = hand.identifiers[table]
    state[kind] = index + 1
    return 0


@part
def _fields(pos: int, end: int, code: int, rules: Any, hand: Any, span: Any, output: Any) -> int:
    """Run a program over one packet; the address behind it, or an error."""
    owner = output.state[PACKET]
    pc: Any = np.int64(0)
    while pos >= 0:
        op = cell(code, pc, 0)
        if op <= ops.ENUM:
            pos = skip(pos, end, code, pc)
            pc += 1
        elif op <= ops.NAME:
            pos = _read(pos, end, code, pc, rules, hand, span, output.state)
            pc += 1
        elif op <= ops.ROW:
            a, ends = cell(code, pc, 1), cell(code, pc, 2)
            error = 0
            if op == ops.SPAN:
                span[a, ends] = pos
            elif ends:
                error = _end_row(a, owner, rules, hand, output)
            else:
                _begin_row(a, rules, hand)
            pos = pos if error == 0 else error
            pc += 1
        elif op == ops.END:
            return pos
        else:
            pos, pc = jump(pos, end, code, pc, hand.levels, rules.max_values)
    return pos


@part
def _copy(source: Any, target: Any) -> None:
    """As many cells as both have."""
    for index in range(min(len(source), len(target))):
        target[index] = source[index]


@part
def _packet(pos: int, end: int, code: int, job: int, rules: Any, hand: Any, output: Any) -> int:
    """One packet and its row; the address behind it, or an error."""
    state, table = output.state, _PACKET
    if state[PACKET] >= len(output.spans):
        return FULL
    span = output.spans[state[PACKET]]
    for index in range(len(span)):
        span[index, 0] = span[index, 1] = -1
    start = pos
    state[POINTS], state[SLOT], hand.levels[VALUES] = 0, IDENTIFIER_SLOT, 0
    _begin_row(table, rules, hand)
    pos = _fields(pos, end, code, rules, hand, span, output)
    if pos < 0:
        return pos
    if span[-2, 0] < 0:
        state[SLOT] = NAME_SLOT
        return INVALID_VALUE
    span[-1, 0], span[-1, 1] = start, pos
    error = _end_row(table, job, rules, hand, output)
    return pos if error == 0 else error


@compiled
def run(
    first: int, jobs: Any, programs: Any, rules: Any, hand: Any, output: Any, failures: Any
) -> int:
    """Run every job from `first` on; their number, or the one that found a table full.

    `jobs` (J, JOB_CELLS); `programs` (S,): their addresses. `failures` (J, 3): error, slot,
    identifier. A record with a failure leaves no row behind. Spans are addresses.
    """
    state, marks = output.state, hand.marks
    begin = first
    for job in range(first, len(jobs)):
        if job == first or jobs[job, RECORD] != jobs[begin, RECORD]:
            begin = job
            _copy(state, marks)
        elif failures[job - 1, 0] < 0:
            _copy(failures[job - 1], failures[job])
            continue
        pos = jobs[job, ADDRESS] + jobs[job, START]
        end = jobs[job, ADDRESS] + jobs[job, STOP]
        for _ in range(jobs[job, COUNT]):
            pos = _packet(pos, end, programs[jobs[job, PROGRAM]], job, rules, hand, output)
            if pos < 0:
                break
        if pos >= 0 and pos != end:
            pos = MALFORMED
        if pos < 0:
            _copy(marks, state)
        if pos == FULL:
            return begin
        failures[job, 0] = min(pos, 0)
        failures[job, 1], failures[job, 2] = state[SLOT], hand.identifiers[PACKET]
    return len(jobs)
