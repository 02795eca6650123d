"""Avro object container files: header, blocks and codecs, with a cap on everything.

Source: Apache Avro specification, "Object Container Files".
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from worker.errors import InvalidPacketError

MAGIC = b"Obj\x01"
MAX_HEADER_BYTES = 256 * 1024
MAX_INFLATED_BYTES = 8 * 1024 * 1024
MAX_VARINT_BYTES = 10
SYNC_BYTES = 16
FRAME_BYTES = 5


@dataclass(frozen=True, slots=True)
class Header:
    """A container's header: the writer schema as it stands, the codec, where the blocks begin."""

    schema: bytes
    codec: str
    sync: bytes
    end: int


@dataclass(frozen=True, slots=True)
class Block:
    """`count` records in `data[start:stop]`."""

    data: bytes
    start: int
    stop: int
    count: int


class SchemaLookup(Protocol):
    """Writer schemas by number, of messages in Confluent's frame."""

    def schema(self, schema_id: int) -> bytes:
        """The schema's JSON, for ever the same for a number.

        InvalidPacketError (schema_unknown) where the registry doesn't have it, TransientError
        while nobody answers.
        """


def unframe(data: bytes, lookup: SchemaLookup | None) -> tuple[bytes, Iterator[Block]]:
    """Writer schema and blocks of a message: a container, or one record in Confluent's frame.

    The frame is byte 0 and the schema's number, 4 bytes, big-endian.
    """
    if lookup is None or data[:1] != b"\0":
        header = read_header(data)
        return header.schema, read_blocks(data, header)
    if len(data) < FRAME_BYTES:
        raise InvalidPacketError("truncated", "the data ends inside the frame")
    text = lookup.schema(int.from_bytes(data[1:FRAME_BYTES], "big"))
    return text, iter([Block(data, FRAME_BYTES, len(data), 1)])


def read_long(data: bytes, position: int) -> tuple[int, int]:
    """A zigzag varint and the position behind it; InvalidPacketError where the data ends."""
    result = shift = 0
    for index in range(position, min(position + MAX_VARINT_BYTES, len(data))):
        byte = data[index]
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (result >> 1) ^ -(result & 1), index + 1
        shift += 7
    if position + MAX_VARINT_BYTES > len(data):
        raise InvalidPacketError("truncated", "the data ends inside a number")
    raise InvalidPacketError("malformed", "a number has more than 10 bytes")


def read_header(data: bytes) -> Header:
    """The header of a container; InvalidPacketError (not_avro, header_too_large, ...)."""
    if not data.startswith(MAGIC):
        raise InvalidPacketError("not_avro", "no Avro container")
    limited = data[: MAX_HEADER_BYTES + SYNC_BYTES]
    try:
        metadata, position = _read_map(limited, len(MAGIC))
    except InvalidPacketError as error:
        if len(data) > len(limited) and error.reason == "truncated":
            raise InvalidPacketError("header_too_large", "header above 256 KiB") from error
        raise
    if len(data) < position + SYNC_BYTES:
        raise InvalidPacketError("truncated", "the data ends inside the header")
    if "avro.schema" not in metadata:
        raise InvalidPacketError("not_avro", "the header holds no schema")
    codec = metadata.get("avro.codec", b"null").decode("utf-8", "replace")
    sync = data[position : position + SYNC_BYTES]
    return Header(metadata["avro.schema"], codec, sync, position + SYNC_BYTES)


def read_blocks(data: bytes, header: Header) -> Iterator[Block]:
    """The blocks of a container, inflated; InvalidPacketError when one is broken."""
    position = header.end
    inflated = 0
    while position < len(data):
        count, position = read_long(data, position)
        size, position = read_long(data, position)
        if count < 0 or size < 0:
            raise InvalidPacketError("malformed", "a block has a negative length")
        end = position + size
        if end + SYNC_BYTES > len(data):
            raise InvalidPacketError("truncated", "the data ends inside a block")
        if data[end : end + SYNC_BYTES] != header.sync:
            raise InvalidPacketError("malformed", "the sync marker is missing")
        if header.codec == "null":
            yield Block(data, position, end, count)
        else:
            content = inflate(header.codec, data[position:end], MAX_INFLATED_BYTES - inflated)
            inflated += len(content)
            yield Block(content, 0, len(content), count)
        position = end + SYNC_BYTES


def inflate(codec: str, data: bytes, cap: int) -> bytes:
    """Decompress at most `cap` bytes; InvalidPacketError (codec_refused) beyond or on failure."""
    if codec == "deflate":
        return _inflate_deflate(data, cap)
    if codec in {"snappy", "zstandard"}:
        return _inflate_optional(codec, data, cap)
    raise InvalidPacketError("codec_refused", f"codec {codec[:32]!r} is not accepted")


def _inflate_deflate(data: bytes, cap: int) -> bytes:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = engine.decompress(data, cap + 1)
    except zlib.error as error:
        raise InvalidPacketError("malformed", f"deflate: {error}") from error
    if len(content) > cap or engine.unconsumed_tail:
        raise InvalidPacketError("codec_refused", "a block inflates beyond its cap")
    if not engine.eof:
        raise InvalidPacketError("truncated", "the deflate stream is incomplete")
    return content


def _inflate_optional(codec: str, data: bytes, cap: int) -> bytes:
    """Snappy and zstandard through cramjam, where it is installed (extra `codecs`)."""
    try:
        import cramjam  # noqa: PLC0415 - only re-encoded files need it
    except ImportError as error:
        raise InvalidPacketError("codec_refused", f"codec {codec} needs cramjam") from error
    output = bytearray(cap)
    # A snappy block of Avro ends in four bytes of CRC-32 of the content.
    payload = data[:-4] if codec == "snappy" else data
    try:
        if codec == "snappy" and cramjam.snappy.decompress_raw_len(payload) > cap:
            raise InvalidPacketError("codec_refused", "a block inflates beyond its cap")
        reader = cramjam.snappy.decompress_raw_into if codec == "snappy" else (
            cramjam.zstd.decompress_into
        )  # fmt: skip
        length = reader(payload, output)
    except cramjam.DecompressionError as error:
        raise InvalidPacketError("codec_refused", f"{codec}: {error}") from error
    content = bytes(output[:length])
    if codec == "snappy" and zlib.crc32(content) != int.from_bytes(data[-4:], "big"):
        raise InvalidPacketError("malformed", "snappy checksum does not match")
    return content


def _read_map(data: bytes, position: int) -> tuple[dict[str, bytes], int]:
    result: dict[str, bytes] = {}
    while True:
        count, position = read_long(data, position)
        if count == 0:
            return result, position
        if count < 0:
            _, position = read_long(data, position)
        for _ in range(abs(count)):
            key, position = _read_bytes(data, position)
            value, position = _read_bytes(data, position)
            result[key.decode("utf-8", "replace")] = value


def _read_bytes(data: bytes, position: int) -> tuple[bytes, int]:
    length, position = read_long(data, position)
    if length < 0:
        raise InvalidPacketError("malformed", "a negative length")
    if position + length > len(data):
        raise InvalidPacketError("truncated", "the data ends inside a string")
    return data[position : position + length], position + length
