"""Programs over Avro bytes, and the ops that only move: skips, unions, arrays.

A program is an int32 array (n, 4) of `op, a, b, c`. Ops are numbered in groups, so that one
comparison picks a group. Flat and iterative; every read is bounds-checked.
"""

from typing import Any

import numpy as np

from worker.decode.jit import compiled, part
from worker.decode.wire import (
    MALFORMED,
    TRUNCATED,
    int_at,
    read_tag,
    read_varint,
    skip_bytes,
    skip_nullable,
    skip_text,
    skip_varint,
)

# Skips. `tag`: see wire.NO_UNION.
FIXED = 0  # a: bytes
VARINT = 1  # a: how many, b: tag
TEXT = 2  # a: how many, b: tag
BYTES = 3  # a: how many, b: tag
NULLABLE = 4  # a: how many, b: tag, c: bytes of the value
ENUM = 5  # a: symbols
# Reads into the row in hand. a: slot, b: tag
FLOAT = 6
DOUBLE = 7
LONG = 8
IDENTIFIER = 9  # a: table
SIGN = 10
NAME = 11  # a: span of the string's content, c: longest
# Control.
SPAN = 12  # a: number of the span, b: 0 where it begins, 1 where it ends
ROW = 13  # a: table, b: 0 where it begins, 1 where it ends
UNION = 14  # a: branches; the next a ops are jumps
JUMP = 15  # a: op
ITEMS = 16  # a: level, b: op behind the array, c: values of an item
NEXT = 17  # a: level, b: first op of an item, c: its ITEMS
END = 18

VALUES = 18
LEVEL_CELLS = VALUES + 1
"""Cells of `levels`: items left in the open array of each level (the static check allows 16);
then how many values the packet's arrays and maps have announced."""

TOO_MANY_VALUES = -3
"""Error beyond those of `wire`."""


@part
def cell(code: int, pc: int, index: int) -> Any:
    """One number of an op of the program at an address."""
    return int_at(code + 16 * pc + 4 * index)


@part
def skip(pos: int, end: int, code: int, pc: int) -> int:
    """Run a skip; the offset behind it, or an error."""
    op, count, tag = cell(code, pc, 0), cell(code, pc, 1), cell(code, pc, 2)
    if op == FIXED:
        return pos + count if count <= end - pos else TRUNCATED
    if op == NULLABLE:
        return skip_nullable(pos, end, count, tag, cell(code, pc, 3))
    if op == ENUM:
        symbol, pos = read_varint(pos, end)
        return pos if pos < 0 or 0 <= symbol < count else MALFORMED
    for _ in range(count):
        marked = read_tag(pos, end, tag)
        if marked < 0:
            return marked
        pos = marked >> 1
        if marked & 1:
            continue
        if op == VARINT:
            pos = skip_varint(pos, end)
        elif op == TEXT:
            pos = skip_text(pos, end)
        else:
            pos = skip_bytes(pos, end)
        if pos < 0:
            return pos
    return pos


@part
def jump(pos: int, end: int, code: int, pc: int, levels: Any, max_values: int) -> Any:
    """Address and next op of unions and arrays."""
    op, a, b = cell(code, pc, 0), cell(code, pc, 1), cell(code, pc, 2)
    if op == JUMP:
        return pos, a
    if op == NEXT:
        levels[a] -= 1
        return pos, b if levels[a] > 0 else cell(code, pc, 3)
    value, pos = read_varint(pos, end)
    if op == UNION and pos >= 0:
        return (pos, pc + 1 + value) if 0 <= value < a else (MALFORMED, pc)
    if value == 0 or pos < 0:
        return pos, b
    if value < 0:
        value = -value
        pos = skip_varint(pos, end)
    # Every item has at least one byte: the guard refuses the others.
    if pos >= 0 and not 0 < value <= end - pos:
        return TRUNCATED, pc
    levels[a] = value
    levels[VALUES] += value * cell(code, pc, 3)
    return (pos, pc + 1) if levels[VALUES] <= max_values else (TOO_MANY_VALUES, pc)


@compiled
def walk(pos: int, end: int, code: int, span: Any, levels: Any, max_values: int) -> int:
    """The address behind one record, read by a program that skips and marks spans; or an error.

    `span` (S, 2): addresses where each marked value begins and ends. `levels`: scratch.
    """
    levels[VALUES] = 0
    pc: Any = np.int64(0)
    while pos >= 0 and cell(code, pc, 0) != END:
        op = cell(code, pc, 0)
        if op == SPAN:
            span[cell(code, pc, 1), cell(code, pc, 2)] = pos
            pc += 1
        elif op <= ENUM:
            pos = skip(pos, end, code, pc)
            pc += 1
        else:
            pos, pc = jump(pos, end, code, pc, levels, max_values)
    return pos
