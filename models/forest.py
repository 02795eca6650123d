"""Isolation forest (Liu, Ting and Zhou 2008), the baseline that every table shows."""

import math

import numba
import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

TREES = 100
SAMPLES = 256


class IsolationForest:
    """Random axis-parallel splits; what is cut off early is strange."""

    def __init__(self, x: Float64, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._size = min(SAMPLES, len(x))
        depth = max(1, math.ceil(math.log2(max(self._size, 2))))
        nodes = 2 ** (depth + 1)
        self._feature = np.full((TREES, nodes), -1, dtype=np.int64)
        self._cut = np.zeros((TREES, nodes))
        self._length = np.zeros((TREES, nodes))
        for tree in range(TREES):
            rows = rng.choice(len(x), self._size, replace=False)
            self._grow(rng, x[rows], tree, depth)

    def __call__(self, x: Float64) -> Float64:
        """Score (N,) in 0 to 1, larger is stranger."""
        mean = _walk(np.ascontiguousarray(x), self._feature, self._cut, self._length)
        return np.asarray(2.0 ** (-mean / _average_depth(self._size)))

    def _grow(self, rng: np.random.Generator, x: Float64, tree: int, depth: int) -> None:
        """Nodes in heap order: the children of node i are 2 i and 2 i + 1."""
        waiting = [(1, np.arange(len(x)), 0)]
        while waiting:
            node, rows, level = waiting.pop()
            low, high = x[rows].min(axis=0), x[rows].max(axis=0)
            usable = np.flatnonzero(high > low)
            if level == depth or len(rows) < 2 or not len(usable):
                self._length[tree, node] = level + _average_depth(len(rows))
                continue
            feature = int(rng.choice(usable))
            cut = float(rng.uniform(low[feature], high[feature]))
            self._feature[tree, node], self._cut[tree, node] = feature, cut
            left = x[rows, feature] < cut
            waiting += [(2 * node, rows[left], level + 1), (2 * node + 1, rows[~left], level + 1)]


def _average_depth(count: int) -> float:
    """Mean depth of an unsuccessful search in a binary tree of `count` leaves."""
    if count < 2:
        return 0.0
    return (
        2.0 * (math.log(count - 1) + 0.5772156649) - 2.0 * (count - 1) / count if count > 2 else 1.0
    )


@numba.njit(cache=True, nogil=True)
def _walk(x: Float64, feature: Int64, cut: Float64, length: Float64) -> Float64:
    mean = np.zeros(len(x))
    for row in range(len(x)):
        for tree in range(len(feature)):
            node = 1
            while feature[tree, node] >= 0:
                node = 2 * node + (0 if x[row, feature[tree, node]] < cut[tree, node] else 1)
            mean[row] += length[tree, node]
        mean[row] /= len(feature)
    return mean
