"""The authors' TensorFlow checkpoints, read without TensorFlow.

`PREFIX.index` is an uncompressed LevelDB-style table: a 48-byte footer, blocks of
prefix-compressed keys, protobuf values that say where in `PREFIX.data-00000-of-00001` an array
lies. Source: tensorflow/core/util/tensor_bundle and leveldb's table_format.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray

from models.weights import WeightsError

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]
UInt32 = NDArray[np.uint32]

FOOTER_BYTES = 48
MAGIC = 0xDB4775248B80FB57
BLOCK_TRAILER_BYTES = 5
FLOAT32_DTYPE = 1
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
CRC32C_POLYNOMIAL = 0x82F63B78
CRC_MASK = 0xA282EAD8


def read_checkpoint(prefix: Path) -> dict[str, Float32]:
    """Every float32 variable by its object-graph key, without the suffix.

    Raises WeightsError for files that are missing, no checkpoint, cut off or changed.
    """
    index_path = prefix.with_name(prefix.name + ".index")
    data_path = prefix.with_name(prefix.name + ".data-00000-of-00001")
    try:
        index, data = index_path.read_bytes(), data_path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{error.filename}: {error.strerror}") from error
    arrays = {}
    try:
        for key, value in _table(index):
            if not key.endswith(SUFFIX):
                continue
            array = _array(dict(_fields(value)), data, f"{data_path}: {key}")
            if array is not None:
                arrays[key.removesuffix(SUFFIX)] = array
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise WeightsError(f"{index_path}: no TensorFlow checkpoint index ({error})") from error
    return arrays


def _table(index: bytes) -> Iterator[tuple[str, bytes]]:
    """Keys and values of the table, in order."""
    if len(index) < FOOTER_BYTES or struct.unpack("<Q", index[-8:])[0] != MAGIC:
        raise struct.error("the footer's magic number is missing")
    place = len(index) - FOOTER_BYTES
    for _ in range(2):  # the handle of the metaindex block, which is not needed
        _, place = _varint(index, place)
    for _, handle in _block(index, *_handle(index, place)):
        yield from ((k.decode(), v) for k, v in _block(index, *_handle(handle, 0)))


def _handle(buffer: bytes, place: int) -> tuple[int, int]:
    """Offset and size of a block."""
    offset, place = _varint(buffer, place)
    size, _ = _varint(buffer, place)
    return offset, size


def _block(index: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if offset + size + BLOCK_TRAILER_BYTES > len(index):
        raise struct.error("a block is cut off")
    if index[offset + size] != 0:
        raise struct.error("compressed blocks are not read")
    restarts = struct.unpack_from("<I", index, offset + size - 4)[0]
    place, end, key = offset, offset + size - 4 * (restarts + 1), b""
    while place < end:
        shared, place = _varint(index, place)
        own, place = _varint(index, place)
        length, place = _varint(index, place)
        key = key[:shared] + index[place : place + own]
        yield key, index[place + own : place + own + length]
        place += own + length


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of a protobuf message."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            integer, place = _varint(message, place)
            yield number, integer
        elif wire == 2:
            size, place = _varint(message, place)
            yield number, message[place : place + size]
            place += size
        elif wire == 5:
            yield number, struct.unpack_from("<I", message, place)[0]
            place += 4
        else:
            raise struct.error(f"unexpected wire type {wire}")


def _varint(buffer: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7


def _array(entry: dict[int, int | bytes], data: bytes, name: str) -> Float32 | None:
    """One variable: fields 1 dtype, 2 shape, 3 shard, 4 offset, 5 size, 6 crc32c."""
    if entry.get(1) != FLOAT32_DTYPE:
        return None
    shape_message, offset, size = entry.get(2, b""), entry.get(4, 0), entry.get(5, 0)
    if not isinstance(shape_message, bytes) or isinstance(offset, bytes) or isinstance(size, bytes):
        raise struct.error("an entry's fields have other types")
    dims = [dict(_fields(d)).get(1, 0) for n, d in _fields(shape_message) if n == 2]  # type: ignore[arg-type]  # field 2 is a message
    shape = [d for d in dims if isinstance(d, int)]
    raw = np.frombuffer(data[offset : offset + size], dtype=np.uint8)
    if len(raw) != size or size != 4 * int(np.prod(shape, dtype=np.int64)):
        raise WeightsError(f"{name}: {len(raw)} bytes where {shape} needs {size}")
    if 6 in entry and int(_masked(crc32c(raw, _crc_table()))) != entry[6]:
        raise WeightsError(f"{name}: its checksum differs, the file was changed")
    return raw.view("<f4").reshape(shape).astype(np.float32)


def _masked(crc: int) -> int:
    """Stored checksums are rotated and shifted (tensorflow/core/lib/hash/crc32c.h)."""
    return (((crc >> 15) | (crc << 17)) + CRC_MASK) & 0xFFFFFFFF


def _crc_table() -> UInt32:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(CRC32C_POLYNOMIAL), table >> 1)
    return table.astype(np.uint32)


@numba.njit(cache=True, nogil=True)
def crc32c(data: UInt8, table: UInt32) -> int:
    """Castagnoli's checksum of bytes (RFC 3720)."""
    crc = np.uint32(0xFFFFFFFF)
    for byte in data:
        crc = table[(crc ^ byte) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return int(crc ^ np.uint32(0xFFFFFFFF))
