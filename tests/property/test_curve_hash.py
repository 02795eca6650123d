"""Curves hashed side by side give what hashlib says of each."""

import hashlib
import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.curve_hash import curve_hashes
from worker.photometry import Curves, Sorted, columns
from worker.types.light_curves import POINT


def reference(points):
    """The design's words: BLAKE2b over the records, known_since zeroed; 8 bytes, big-endian."""
    facts = points.copy()
    facts["known_since"] = 0.0
    return int.from_bytes(hashlib.blake2b(facts.tobytes()).digest()[:8], "big", signed=True)


@settings(deadline=None)  # the first call compiles
@given(
    st.lists(st.integers(0, 40), max_size=20),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_as_hashlib(lengths, share, seed):
    rng = np.random.default_rng(seed)
    offsets = np.cumsum([0, *lengths], dtype=np.int64)
    stored = np.frombuffer(rng.bytes(offsets[-1] * POINT.itemsize), dtype=POINT)
    parts = Curves(offsets, rng.permutation(len(stored)).astype(np.int32),
                   rng.integers(1, 4, len(stored)).astype(np.uint8))  # fmt: skip
    usable = rng.random(len(stored)) < share
    by_band = np.zeros((len(lengths), 3), np.int32)
    for row, (start, stop) in enumerate(itertools.pairwise(offsets)):
        np.add.at(by_band[row], parts.band[start:stop][usable[start:stop]] - 1, 1)
    none, no = np.empty(0), np.empty(0, np.int32)
    found = Sorted(usable, usable, none, none, no, no, np.empty(0, bool), by_band)
    rows = np.flatnonzero(rng.random(len(lengths)) < 0.8).astype(np.int32)
    curves = [parts.at[offsets[row] : offsets[row + 1]] for row in rows]
    kept = [usable[offsets[row] : offsets[row + 1]] for row in rows]
    expected = [reference(stored[at[good]]) for at, good in zip(curves, kept, strict=True)]
    assert curve_hashes(columns(stored, "<i8"), parts, rows, found).tolist() == expected
