"""The ordinary container of a stream, found without Python: known schema, one plain record.

Whatever is not ordinary is left to `framing`, which knows every case and names every error.
"""

from typing import Any

import numpy as np

from worker.decode.framing import MAX_HEADER_BYTES, SYNC_BYTES
from worker.decode.jit import compiled, part
from worker.decode.wire import byte_at, read_length, read_varint, same_bytes

START, STOP, SCHEMA = 0, 1, 2
"""Columns of what `recognise` finds; SCHEMA is -1 where a message is not ordinary."""

_MAGIC = np.frombuffer(b"Obj\x01", np.uint8)
_CODEC = np.frombuffer(b"avro.codec", np.uint8)
_TEXT = np.frombuffer(b"avro.schema", np.uint8)
_NULL = np.frombuffer(b"null", np.uint8)
_FOUR: Any = np.int64(4)
_SYNC: Any = np.int64(SYNC_BYTES)


@part
def _is(pos: int, length: int, word: Any) -> bool:
    if length != len(word):
        return False
    different = 0
    for index in range(len(word)):
        different |= byte_at(pos + index) ^ np.int64(word[index])
    return different == 0


@part
def _metadata(pos: int, end: int) -> tuple[int, int, int]:
    """Address and length of the schema, and the address behind the map; -1 if unusual."""
    text = length = -1
    count, pos = read_varint(pos, end)
    if pos < 0 or count <= 0:
        return -1, -1, -1
    for _ in range(count):
        key_length, key = read_length(pos, end)
        if key < 0:
            return -1, -1, -1
        value_length, pos = read_length(key + key_length, end)
        if pos < 0:
            return -1, -1, -1
        if _is(key, key_length, _TEXT):
            text, length = pos, value_length
        elif _is(key, key_length, _CODEC) and not _is(pos, value_length, _NULL):
            return -1, -1, -1
        pos += value_length
    # A second block of metadata is legal, and nobody writes one.
    if pos >= end or byte_at(pos) != 0:
        return -1, -1, -1
    return text, length, pos + 1


@part
def _find(text: int, length: int, addresses: Any, lengths: Any, guess: int) -> int:
    """Number of the schema that stands at an address, -1 if it isn't known."""
    for turn in range(len(lengths)):
        index = (guess + turn) % len(lengths)
        if lengths[index] == length and same_bytes(text, addresses[index], length):
            return index
    return -1


@part
def _record(sync: int, end: int) -> Any:
    """Where the only record of a container begins; -1 if there is more or less than one."""
    count, pos = read_varint(sync + SYNC_BYTES, end)
    if pos < 0 or count != 1:
        return -1
    size, pos = read_length(pos, end)
    if pos < 0 or pos + size + SYNC_BYTES != end or not same_bytes(pos + size, sync, _SYNC):
        return -1
    return pos


@compiled
def recognise(
    addresses: Any,
    lengths: Any,
    schema_addresses: Any,
    schema_lengths: Any,
    max_bytes: int,
    found: Any,
) -> None:
    """Fill `found` (N, 3) for N messages: START and STOP of the record, SCHEMA.

    `addresses` and `lengths` (N,) int64 of the messages; the same of the known schemas.
    """
    guess: Any = np.int64(0)
    for row in range(len(addresses)):
        found[row, SCHEMA] = -1
        base, end = addresses[row], addresses[row] + lengths[row]
        if lengths[row] > max_bytes or lengths[row] < len(_MAGIC) or not _is(base, _FOUR, _MAGIC):
            continue
        text, length, sync = _metadata(base + 4, min(end, base + MAX_HEADER_BYTES))
        start = _record(sync, end) if text >= 0 else -1
        index = _find(text, length, schema_addresses, schema_lengths, guess) if start >= 0 else -1
        found[row, START], found[row, STOP] = start - base, end - SYNC_BYTES - base
        found[row, SCHEMA] = index
        guess = max(index, 0)
