"""Random forest (Breiman 2001): the classifier for few labels, where networks overfit."""

import math

import numba
import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

TREES = 300


class RandomForest:
    """Trees on bootstrap samples; each split tries a few inputs. Deterministic by seed."""

    def __init__(self, x: Float64, y: Int64, classes: int, seed: int = 0) -> None:
        """x (N, D) finite, y (N,) class numbers."""
        x = np.ascontiguousarray(x, dtype=np.float64)
        tries = max(1, round(math.sqrt(x.shape[1])))
        rng = np.random.default_rng(seed)
        grown = [_grow(rng, x, y, classes, tries) for _ in range(TREES)]
        sizes = np.array([len(nodes) for nodes, *_ in grown])
        start = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self._start = start.astype(np.int64)
        self._feature = np.concatenate([nodes for nodes, *_ in grown])
        self._cut = np.concatenate([cut for _, cut, *_ in grown])
        self._left = np.concatenate(
            [left + s for (_, _, left, _), s in zip(grown, start, strict=True)]
        )
        self._share = np.concatenate([share for *_, share in grown])

    def __call__(self, x: Float64) -> Float64:
        """Probabilities (N, classes): mean over trees of the class shares in the leaf."""
        x = np.ascontiguousarray(x, dtype=np.float64)
        return np.asarray(
            _predict(x, self._start, self._feature, self._cut, self._left, self._share)
        )


@numba.njit(cache=True, nogil=True)
def _grow(
    rng: np.random.Generator, x: Float64, y: Int64, classes: int, tries: int
) -> tuple[Int64, Float64, Int64, Float64]:
    """Nodes: input to look at (-1: leaf), cut, left child (right is the next), class shares."""
    rows = rng.integers(0, len(x), len(x))
    most = 2 * len(rows)
    feature, cut = np.full(most, -1, np.int64), np.zeros(most)
    left, share = np.zeros(most, np.int64), np.zeros((most, classes))
    first, last = np.zeros(most, np.int64), np.zeros(most, np.int64)
    last[0], count = len(rows), 1
    node = 0
    while node < count:
        mine = rows[first[node] : last[node]]
        for row in mine:
            share[node, y[row]] += 1.0 / len(mine)
        if share[node].max() < 1.0:
            feature[node], cut[node] = _split(rng, x, y, mine, classes, tries)
        if feature[node] >= 0:
            inside = x[mine, feature[node]] < cut[node]
            middle = first[node] + inside.sum()
            rows[first[node] : last[node]] = np.concatenate((mine[inside], mine[~inside]))
            left[node] = count
            first[count], last[count] = first[node], middle
            first[count + 1], last[count + 1] = middle, last[node]
            count += 2
        node += 1
    return feature[:count], cut[:count], left[:count], share[:count]


@numba.njit(cache=True, nogil=True)
def _split(
    rng: np.random.Generator, x: Float64, y: Int64, rows: Int64, classes: int, tries: int
) -> tuple[int, float]:
    """The best input and cut by Gini impurity; -1 where no tried input varies."""
    best, chosen, place = -1.0, -1, 0.0
    size = len(rows)
    tried = 0
    for column in rng.permutation(x.shape[1]):
        values = x[rows, column]
        order = np.argsort(values)
        if values[order[0]] == values[order[-1]]:
            continue
        below, above = np.zeros(classes), np.zeros(classes)
        for row in rows:
            above[y[row]] += 1.0
        low, high = 0.0, (above**2).sum()
        for i in range(size - 1):
            own = y[rows[order[i]]]
            low += 2.0 * below[own] + 1.0
            high += 1.0 - 2.0 * above[own]
            below[own] += 1.0
            above[own] -= 1.0
            before, after = values[order[i]], values[order[i + 1]]
            gain = low / (i + 1) + high / (size - i - 1)
            if before < after and gain > best:
                best, chosen, place = gain, column, 0.5 * (before + after)
                if place <= before:
                    place = after
        tried += 1
        if tried == tries:
            break
    return chosen, place


@numba.njit(cache=True, nogil=True)
def _predict(
    x: Float64, start: Int64, feature: Int64, cut: Float64, left: Int64, share: Float64
) -> Float64:
    found = np.zeros((len(x), share.shape[1]))
    for row in range(len(x)):
        for root in start:
            node = root
            while feature[node] >= 0:
                node = left[node] + (0 if x[row, feature[node]] < cut[node] else 1)
            found[row] += share[node]
    return found / len(start)
