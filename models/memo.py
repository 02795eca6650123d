"""A memo of period blocks: a pure function's results, keyed by a digest of its input."""

import hashlib
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

CAPACITY = 200_000
"""Blocks kept: about 50 MB."""


class PeriodMemo:
    """The blocks of the curves seen last; losing one costs time, never changes a value."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._found: OrderedDict[bytes, Float64] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._found)

    @staticmethod
    def key(jd: Float64, mag: Float64, err: Float64) -> bytes:
        """Digest of a block's input."""
        digest = hashlib.blake2b(jd.tobytes(), digest_size=16)
        digest.update(mag.tobytes())
        digest.update(err.tobytes())
        return digest.digest()

    def get(self, key: bytes) -> Float64 | None:
        """A block, or None."""
        block = self._found.get(key)
        if block is None:
            self.misses += 1
            return None
        self.hits += 1
        self._found.move_to_end(key)
        return block

    def put(self, key: bytes, block: Float64) -> None:
        """Keep a block; the one used longest ago leaves."""
        self._found[key] = block.copy()
        if len(self._found) > self._capacity:
            self._found.popitem(last=False)
