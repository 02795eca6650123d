"""Avro's binary encoding for the kernel: flat, iterative, every read bounds-checked.

`pos` and `end` are addresses: of the next byte, and behind the last one that may be read. Both
share one number with errors: what is negative is an error. Little-endian machines only.
Source: Apache Avro specification, "Binary encoding".
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped] # Numba's own, without types
from numba.extending import intrinsic

from worker.decode.jit import part, rare

TRUNCATED, MALFORMED = -1, -2

NO_UNION = -1
"""As a tag: the type is plain. Else a tag is the byte of the union branch that has the value."""

_HIGH_BITS = np.int64(-0x7F7F7F7F7F7F7F80)
"""The first bit of each of eight bytes: set where text is not ASCII."""


def _load(kind: Any, stored: ir.Type, widen: str | None) -> Any:
    """An intrinsic that reads one value at an address, which the caller has checked."""

    @intrinsic
    def load(_context: Any, _address: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            value = builder.load(builder.inttoptr(arguments[0], stored.as_pointer()), align=1)
            if widen is None:
                return value
            wide = ir.DoubleType() if widen == "fpext" else ir.IntType(64)
            return getattr(builder, widen)(value, wide)

        return kind(numba.types.int64), generate

    return load


byte_at = _load(numba.types.int64, ir.IntType(8), "zext")
word_at = _load(numba.types.int64, ir.IntType(64), None)
int_at = _load(numba.types.int64, ir.IntType(32), "sext")
float_at = _load(numba.types.float64, ir.FloatType(), "fpext")
double_at = _load(numba.types.float64, ir.DoubleType(), None)


@intrinsic
def _compare(_context: Any, _a: Any, _b: Any, _length: Any) -> Any:
    """C's memcmp."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer, size = ir.IntType(8).as_pointer(), ir.IntType(64)
        kind = ir.FunctionType(ir.IntType(32), [pointer, pointer, size])
        function = builder.module.globals.get("memcmp") or ir.Function(
            builder.module, kind, "memcmp"
        )
        a, b = (builder.inttoptr(address, pointer) for address in arguments[:2])
        return builder.call(function, [a, b, arguments[2]])

    word = numba.types.int64
    return numba.types.int32(word, word, word), generate


@part
def same_bytes(a: int, b: int, length: int) -> bool:
    """Whether the same bytes stand at two addresses."""
    result: Any = _compare(a, b, length)  # type: ignore[call-arg] # as above
    return bool(result == 0)


@part
def read_varint(pos: int, end: int) -> Any:
    """A zigzag number and the address behind it, both int64."""
    result = np.int64(0)
    for index in range(10):
        if pos + index >= end:
            return 0, TRUNCATED
        byte = byte_at(pos + index)
        result |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            half = np.int64(np.uint64(result) >> np.uint64(1))
            return half ^ -(result & 1), pos + index + 1
    return 0, MALFORMED


@part
def skip_varint(pos: int, end: int) -> int:
    """The address behind a number."""
    stop = min(end, pos + 10)
    while pos < stop:
        pos += 1
        if byte_at(pos - 1) < 0x80:
            return pos
    return TRUNCATED if stop == end else MALFORMED


@part
def read_length(pos: int, end: int) -> Any:
    """Length of a string or of bytes, and where they begin; they end inside the data."""
    length, pos = read_varint(pos, end)
    if pos < 0:
        return 0, pos
    if length < 0:
        return 0, MALFORMED
    return (length, pos) if length <= end - pos else (0, TRUNCATED)


@part
def skip_bytes(pos: int, end: int) -> int:
    """The address behind length-prefixed bytes."""
    length, pos = read_length(pos, end)
    return pos if pos < 0 else pos + length


@part
def skip_text(pos: int, end: int) -> int:
    """The address behind a string, which must be UTF-8: its bytes may be published again."""
    length, pos = read_length(pos, end)
    if pos < 0:
        return pos
    stop = pos + length
    high, address = np.int64(0), pos
    while address + 8 <= stop:
        high |= word_at(address)
        address += 8
    while address < stop:
        high |= byte_at(address)
        address += 1
    return stop if high & _HIGH_BITS == 0 or _is_utf8(pos, stop) else MALFORMED


@rare
def _is_utf8(pos: int, end: int) -> bool:
    while pos < end:
        lead = byte_at(pos)
        follow = (lead >= 0xC2) + (lead >= 0xE0) + (lead >= 0xF0)
        if 0x80 <= lead < 0xC2 or lead > 0xF4 or pos + follow >= end:
            return False
        code = lead & (0x7F >> (follow + (follow > 0)))
        for address in range(pos + 1, pos + 1 + follow):
            if byte_at(address) & 0xC0 != 0x80:
                return False
            code = code << 6 | (byte_at(address) & 0x3F)
        overlong = (follow == 2 and code < 0x800) or (follow == 3 and code < 0x10000)
        if overlong or 0xD800 <= code < 0xE000 or code > 0x10FFFF:
            return False
        pos += 1 + follow
    return True


@part
def read_tag(pos: int, end: int, tag: int) -> int:
    """Behind a union of null and one type: the value's address, doubled, odd for null."""
    if tag == NO_UNION:
        return 2 * pos
    if pos >= end:
        return TRUNCATED
    byte = byte_at(pos)
    if byte == tag:
        return 2 * (pos + 1)
    return 2 * (pos + 1) + 1 if byte == 2 - tag else MALFORMED


@part
def skip_nullable(pos: int, end: int, count: int, tag: int, size: int) -> int:
    """The address behind `count` unions of null and `size` bytes."""
    if pos + count * (size + 1) <= end:
        wrong = np.int64(0)
        for _ in range(count):
            byte = byte_at(pos)
            wrong |= byte & 0xFD
            pos += 1 + size * (byte == tag)
        return pos if wrong == 0 else MALFORMED
    for _ in range(count):
        marked = read_tag(pos, end, tag)
        if marked < 0:
            return marked
        pos = marked >> 1 if marked & 1 else (marked >> 1) + size
        if pos > end:
            return TRUNCATED
    return pos


@part
def read_float(pos: int, end: int) -> Any:
    """A float and the address behind it."""
    return (float_at(pos), pos + 4) if end - pos >= 4 else (0.0, TRUNCATED)


@part
def read_double(pos: int, end: int) -> Any:
    """A double and the address behind it."""
    return (double_at(pos), pos + 8) if end - pos >= 8 else (0.0, TRUNCATED)


@part
def read_sign(pos: int, end: int) -> Any:
    """1 for the strings t and 1, 0 for f and 0, -1 for others; and the address behind it."""
    length, behind = read_length(pos, end)
    letter = byte_at(behind) if length == 1 else 0
    if letter == ord("t") or letter == ord("1"):
        return 1.0, behind + 1
    if letter == ord("f") or letter == ord("0"):
        return 0.0, behind + 1
    return -1.0, skip_text(pos, end)


@part
def read_name(pos: int, end: int, longest: int) -> Any:
    """Where a string of printable ASCII begins, -1 for any other, and the address behind it."""
    length, start = read_length(pos, end)
    if not 0 < length <= longest:
        return -1, skip_text(pos, end)
    for address in range(start, start + length):
        if not 0x20 <= byte_at(address) <= 0x7E:
            return -1, skip_text(pos, end)
    return start, start + length
