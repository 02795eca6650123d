"""A memo of period blocks: a pure function's results, keyed by a digest of its input."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.period import PERIOD_NAMES

Float64 = NDArray[np.float64]

CAPACITY = 200_000
"""Blocks kept in the process: about 50 MB."""

BLOCK_BYTES = 8 * len(PERIOD_NAMES)

FUNCTION = b"period block 1"
"""Part of every key: change it with the function, or old results would be taken for new ones."""


class Shelf(Protocol):
    """Where blocks outlive the process and are seen by other workers."""

    def read(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """What is kept under each key."""

    def write(self, blocks: Mapping[bytes, bytes]) -> None:
        """Keep these."""


class PeriodMemo:
    """The blocks of the curves seen last; losing one costs time, never changes a value."""

    def __init__(self, shelf: Shelf | None = None, capacity: int = CAPACITY) -> None:
        self._shelf, self._capacity = shelf, capacity
        self._found: OrderedDict[bytes, Float64] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._found)

    @staticmethod
    def key(jd: Float64, mag: Float64, err: Float64) -> bytes:
        """Digest of a block's input."""
        digest = hashlib.blake2b(jd.tobytes(), digest_size=16, person=FUNCTION)
        digest.update(mag.tobytes())
        digest.update(err.tobytes())
        return digest.digest()

    def recall(self, keys: Sequence[bytes]) -> dict[bytes, Float64]:
        """The blocks that are known, here or on the shelf."""
        found = {key: self._found[key] for key in keys if key in self._found}
        for key in found:
            self._found.move_to_end(key)
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if missing and self._shelf is not None:
            for key, value in zip(missing, self._shelf.read(missing), strict=True):
                if value is not None and len(value) == BLOCK_BYTES:
                    found[key] = np.frombuffer(value)
                    self._put(key, found[key])
        self.misses += sum(key not in found for key in missing)
        self.hits += len(found)
        return found

    def keep(self, blocks: Mapping[bytes, Float64]) -> None:
        """Keep new blocks here and on the shelf; those used longest ago leave the process."""
        for key, block in blocks.items():
            self._put(key, block.copy())
        if blocks and self._shelf is not None:
            self._shelf.write({key: block.tobytes() for key, block in blocks.items()})

    def _put(self, key: bytes, block: Float64) -> None:
        self._found[key] = block
        if len(self._found) > self._capacity:
            self._found.popitem(last=False)
