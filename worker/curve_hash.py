"""`curve_hash`: BLAKE2b (RFC 7693) of many light curves, side by side. Pure, compiled.

hashlib hashes one message after the other: 1 ns a byte, 50 us for 1,000 records, more than such
a curve's photometry, cuts and merge of bands together. With a curve in each lane of the vector
unit it is less than half, and no library does that. What comes out is hashlib's to the bit (tests).
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from worker.photometry import KNOWN_SINCE, Curves, Sorted
from worker.types.arrays import Bool, Int32, Int64

Word = np.uint64
Words = NDArray[np.uint64]

LANES = 8
"""Curves at once: one register of AVX-512, two of AVX2."""

POINTS, COLUMNS = 8, 6
"""Points that are read at once, and words of each: three blocks exactly."""

BLOCK_WORDS, BLOCK_BYTES = 16, 128

NO, YES = np.uint64(0), np.uint64(2**64 - 1)
"""Flags of a block: all ones say that it is the last."""

INITIAL = tuple(
    np.uint64(word)
    for word in (
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    )
)  # fmt: skip
"""RFC 7693, 2.6."""

PARAMETERS = np.uint64(0x01010040)
"""No key, 64 bytes of hash (RFC 7693, 2.5)."""

SCHEDULE = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
"""Order in which a round takes the words of a block (RFC 7693, 2.7)."""

COUNT, LAST = (np.uint64(row * LANES) for row in (8, 9))
"""Rows of the state behind its eight words: bytes so far, and whether the block is the last."""


@numba.njit(nogil=True, forceinline=True)
def _rotated(word: Word, by: Word) -> Word:
    return (word >> by) | (word << (np.uint64(64) - by))


@numba.njit(nogil=True, forceinline=True)
def _mixed(a: Word, b: Word, c: Word, d: Word, x: Word, y: Word) -> tuple[Word, Word, Word, Word]:
    """RFC 7693, 3.1."""
    a = a + b + x
    d = _rotated(d ^ a, np.uint64(32))
    c = c + d
    b = _rotated(b ^ c, np.uint64(24))
    a = a + b + y
    d = _rotated(d ^ a, np.uint64(16))
    c = c + d
    b = _rotated(b ^ c, np.uint64(63))
    return a, b, c, d


def _round(order: tuple[int, ...]) -> Callable[..., Any]:
    """One round; its order is a constant of the machine code, else the lanes stay apart."""
    o0, o1, o2, o3, o4, o5, o6, o7, o8, o9, oa, ob, oc, od, oe, of = (
        np.uint64(word * LANES) for word in order
    )

    @numba.njit(nogil=True, forceinline=True)
    def mixed(v: tuple[Word, ...], m: Words, lane: Word) -> tuple[Word, ...]:
        v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, va, vb, vc, vd, ve, vf = v
        v0, v4, v8, vc = _mixed(v0, v4, v8, vc, m[o0 + lane], m[o1 + lane])
        v1, v5, v9, vd = _mixed(v1, v5, v9, vd, m[o2 + lane], m[o3 + lane])
        v2, v6, va, ve = _mixed(v2, v6, va, ve, m[o4 + lane], m[o5 + lane])
        v3, v7, vb, vf = _mixed(v3, v7, vb, vf, m[o6 + lane], m[o7 + lane])
        v0, v5, va, vf = _mixed(v0, v5, va, vf, m[o8 + lane], m[o9 + lane])
        v1, v6, vb, vc = _mixed(v1, v6, vb, vc, m[oa + lane], m[ob + lane])
        v2, v7, v8, vd = _mixed(v2, v7, v8, vd, m[oc + lane], m[od + lane])
        v3, v4, v9, ve = _mixed(v3, v4, v9, ve, m[oe + lane], m[of + lane])
        return v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, va, vb, vc, vd, ve, vf

    return mixed


_r0, _r1, _r2, _r3, _r4, _r5, _r6, _r7, _r8, _r9 = map(_round, SCHEDULE)
H0, H1, H2, H3, H4, H5, H6, H7 = (np.uint64(row * LANES) for row in range(8))


@numba.njit(nogil=True)
def _compress(h: Words, m: Words, lanes: Word) -> None:
    """A block of each lane into the state (RFC 7693, 3.2).

    `lanes` is a number that the compiler doesn't know: else it would unroll this loop before it
    could turn its lanes into those of a vector.
    """
    for i in range(lanes):
        v = (
            h[H0 + i], h[H1 + i], h[H2 + i], h[H3 + i], h[H4 + i], h[H5 + i], h[H6 + i],
            h[H7 + i], INITIAL[0], INITIAL[1], INITIAL[2], INITIAL[3], INITIAL[4] ^ h[COUNT + i],
            INITIAL[5], INITIAL[6] ^ h[LAST + i], INITIAL[7],
        )  # fmt: skip
        v = _r4(_r3(_r2(_r1(_r0(v, m, i), m, i), m, i), m, i), m, i)
        v = _r9(_r8(_r7(_r6(_r5(v, m, i), m, i), m, i), m, i), m, i)
        v = _r1(_r0(v, m, i), m, i)
        h[H0 + i] ^= v[0] ^ v[8]
        h[H1 + i] ^= v[1] ^ v[9]
        h[H2 + i] ^= v[2] ^ v[10]
        h[H3 + i] ^= v[3] ^ v[11]
        h[H4 + i] ^= v[4] ^ v[12]
        h[H5 + i] ^= v[5] ^ v[13]
        h[H6 + i] ^= v[6] ^ v[14]
        h[H7 + i] ^= v[7] ^ v[15]


@numba.njit(nogil=True)
def _read(
    words: Words, lane: int, records: Int64, curves: Curves, usable: Bool, i: int, stop: int
) -> int:
    """The next points of a curve into its lane, zeros behind the last; where they ended."""
    point = 0
    while point < POINTS and i < stop:
        if usable[i]:
            for column in range(COLUMNS):
                words[(point * COLUMNS + column) * LANES + lane] = records[curves.at[i], column]
            words[(point * COLUMNS + KNOWN_SINCE) * LANES + lane] = 0
            point += 1
        i += 1
    for empty in range(point * COLUMNS, POINTS * COLUMNS):
        words[empty * LANES + lane] = 0
    return i


@numba.njit(nogil=True)
def _start(state: Words) -> None:
    for row in range(len(INITIAL)):
        state[row * LANES : (row + 1) * LANES] = INITIAL[row]
    state[:LANES] ^= PARAMETERS


@numba.njit(nogil=True)
def _hash_group(
    hashes: Words, group: Int64, sizes: Int64, rows: Int32, records: Int64, curves: Curves,
    usable: Bool, state: Words, words: Words,
) -> None:  # fmt: skip
    """Up to LANES curves of similar length; a lane that has ended goes on and isn't looked at."""
    _start(state)
    at = np.array([curves.offsets[rows[curve]] for curve in group])
    done = 0
    while done == 0 or done < sizes[group].max():
        for lane, curve in enumerate(group):
            stop = curves.offsets[rows[curve] + 1]
            at[lane] = _read(words, lane, records, curves, usable, at[lane], stop)
        for block in range(POINTS * COLUMNS // BLOCK_WORDS):
            before, done = done, done + BLOCK_BYTES
            for lane, curve in enumerate(group):
                state[COUNT + np.uint64(lane)] = min(done, sizes[curve])
                state[LAST + np.uint64(lane)] = YES if done >= sizes[curve] else NO
            _compress(state, words[block * BLOCK_WORDS * LANES :], np.uint64(len(group)))
            for lane, curve in enumerate(group):
                if before < sizes[curve] <= done or sizes[curve] == before == 0:
                    hashes[curve] = state[lane]


@numba.njit(cache=True, nogil=True)
def _hashes(records: Int64, curves: Curves, rows: Int32, found: Sorted) -> Words:
    sizes = np.array([found.by_band[row].sum() for row in rows], np.int64) * COLUMNS * 8
    order = np.argsort(sizes)
    hashes = np.empty(len(rows), np.uint64)
    state = np.empty(10 * LANES, np.uint64)
    words = np.zeros(POINTS * COLUMNS * LANES, np.uint64)
    for first in range(0, len(rows), LANES):
        group = order[first : first + LANES]
        _hash_group(hashes, group, sizes, rows, records, curves, found.usable, state, words)
    return hashes


def curve_hashes(records: Int64, curves: Curves, rows: Int32, found: Sorted) -> Int64:
    """First 8 bytes, big-endian signed, of BLAKE2b over the usable records of these curves.

    `records` (N, 6): the stored points as integers. known_since is zeroed: when a point became
    known doesn't change a score (design: State).
    """
    return _hashes(records, curves, rows, found).byteswap().view(np.int64)
