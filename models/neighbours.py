"""Nearest reference rows, by exact differences: a row's result must not depend on its batch.

References lie in leaves of neighbours. A leaf whose ball lies beyond what the nearest leaf
already holds is left out; what is found is the same as without leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

LEAF, GROUPS = 64, 16
"""Places of a leaf, and groups of places: minima over either are taken many at once."""

FIRST = 3
"""Nearest leaves that are looked into before it is asked which others can matter."""

ROUNDING = np.float32(1e-5)
"""Share of a ball's distance and radius that rounding may be off by."""

_FAST = {"contract", "reassoc", "nnan", "nsz"}


@dataclass(frozen=True, slots=True)
class References:
    """R reference rows of L axes in leaves, the balls around them, and where each row was.

    `centres` (L, leaves), `radius` (leaves,), `points` (leaves, L, LEAF), infinite where a leaf is
    not full, `rows` (leaves, LEAF).
    """

    centres: Float32
    radius: Float32
    points: Float32
    rows: Int32
    size: int

    @classmethod
    def of(cls, reference: Float32) -> "References":
        """From the rows (R, L)."""
        leaves = _leaves(reference)
        centres = np.stack([reference[rows].mean(axis=0) for rows in leaves])
        radius = [np.sqrt(((reference[rows] - centre) ** 2).sum(axis=1)).max()
                  for rows, centre in zip(leaves, centres, strict=True)]  # fmt: skip
        points = np.full((len(leaves), reference.shape[1], LEAF), np.inf, np.float32)
        index = np.zeros((len(leaves), LEAF), np.int32)
        for leaf, rows in enumerate(leaves):
            points[leaf, :, : len(rows)] = reference[rows].T
            index[leaf, : len(rows)] = rows
        columns = np.ascontiguousarray(centres.T, dtype=np.float32)
        return cls(columns, np.array(radius, np.float32), points, index, len(reference))

    def nearest(self, x: Float32, count: int) -> tuple[Float32, Int32]:
        """Distances and indices (B, count) of the nearest, nearest first; `count` <= R.

        No value may be NaN. References at the same distance come in any order, but always the
        same.
        """
        distance, index = _nearest(x, self.centres, self.radius, self.points, self.rows, count)
        return distance, index


def _leaves(reference: Float32) -> Sequence[Int64]:
    """Rows halved along their widest direction until a leaf holds them."""
    leaves = [np.arange(len(reference))]
    while max(len(rows) for rows in leaves) > LEAF:
        halves = []
        for rows in leaves:
            centred = reference[rows] - reference[rows].mean(axis=0)
            widest = np.linalg.svd(centred, full_matrices=False)[2][0]
            order, half = np.argsort(centred @ widest, kind="stable"), (len(rows) + 1) // 2
            halves += [rows[order[:half]], rows[order[half:]]]
        leaves = halves
    return leaves


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _nearest(
    x: Float32, centres: Float32, radius: Float32, points: Float32, rows: Int32, count: int
) -> tuple[Float32, Int32]:
    leaves = len(radius)
    distance = np.full((len(x), count), np.float32(np.inf), np.float32)
    index = np.zeros((len(x), count), np.int32)
    bound, seen = np.empty(leaves, np.float32), np.empty(leaves, np.int64)
    part, squared = np.empty(LEAF, np.float32), np.empty((leaves, LEAF), np.float32)
    low, group = np.empty(LEAF, np.float32), np.empty(GROUPS, np.float32)
    for row in range(len(x)):
        _bounds(x, row, centres, radius, bound)
        low[:] = np.float32(np.inf)
        visited = min(FIRST, leaves)
        for number in range(visited):
            seen[number] = _smallest(bound)
            bound[seen[number]] = np.float32(np.inf)
            _look_into(x, row, points, seen[number], part, squared, number, low)
        limit = _limit(low, group, count)
        for leaf in range(leaves):
            if bound[leaf] <= limit and bound[leaf] < np.float32(np.inf):  # not seen yet
                _look_into(x, row, points, leaf, part, squared, visited, low)
                seen[visited] = leaf
                visited += 1
        limit = _limit(low, group, count)
        for place in range(LEAF):
            if low[place] > limit:
                continue
            for number in range(visited):
                found = squared[number, place]
                if found <= limit and found < distance[row, count - 1]:
                    at = _make_room(distance, index, row, found)
                    distance[row, at], index[row, at] = found, rows[seen[number], place]
    return np.sqrt(distance), index


@numba.njit(inline="always", nogil=True, fastmath=_FAST)
def _make_room(distance: Float32, index: Int32, row: int, found: np.float32) -> int:
    """Where a distance belongs among a row's, ascending; the last one falls out."""
    at: int = distance.shape[1] - 1
    while at > 0 and distance[row, at - 1] > found:
        distance[row, at] = distance[row, at - 1]
        index[row, at] = index[row, at - 1]
        at -= 1
    return at


@numba.njit(inline="always", nogil=True, fastmath=_FAST)
def _bounds(x: Float32, row: int, centres: Float32, radius: Float32, bound: Float32) -> None:
    """Squared distances that no point of a leaf falls below."""
    bound[:] = np.float32(0.0)
    for axis in range(len(centres)):
        value = x[row, axis]
        for leaf in range(len(radius)):
            step = value - centres[axis, leaf]
            bound[leaf] += step * step
    for leaf in range(len(radius)):
        away = np.sqrt(bound[leaf])
        away -= radius[leaf] + ROUNDING * (away + radius[leaf])
        bound[leaf] = away * away if away > np.float32(0.0) else np.float32(0.0)


@numba.njit(inline="always", nogil=True)
def _smallest(bound: Float32) -> int:
    best = 0
    for leaf in range(len(bound)):
        if bound[leaf] < bound[best]:
            best = leaf
    return best


@numba.njit(inline="always", nogil=True, fastmath=_FAST)
def _look_into(
    x: Float32, row: int, points: Float32, leaf: int, part: Float32, squared: Float32, number: int,
    low: Float32,
) -> None:  # fmt: skip
    """Squared distances to a leaf's points; `low`: the smallest of all leaves by place."""
    part[:] = np.float32(0.0)
    # Four axes at a time: the sums are read and written a quarter as often.
    whole = x.shape[1] - x.shape[1] % 4
    for axis in range(0, whole, 4):
        v0, v1, v2, v3 = x[row, axis], x[row, axis + 1], x[row, axis + 2], x[row, axis + 3]
        for place in range(LEAF):
            s0, s1 = v0 - points[leaf, axis, place], v1 - points[leaf, axis + 1, place]
            s2, s3 = v2 - points[leaf, axis + 2, place], v3 - points[leaf, axis + 3, place]
            part[place] += (s0 * s0 + s1 * s1) + (s2 * s2 + s3 * s3)
    for axis in range(whole, x.shape[1]):
        value = x[row, axis]
        for place in range(LEAF):
            step = value - points[leaf, axis, place]
            part[place] += step * step
    for place in range(LEAF):
        found = part[place]
        squared[number, place] = found
        low[place] = found if found < low[place] else low[place]  # noqa: FURB136 - min() is slow


@numba.njit(inline="always", nogil=True, fastmath=_FAST)
def _limit(low: Float32, group: Float32, count: int) -> np.float32:
    """A value that `count` points don't exceed: the count-th smallest minimum of a group."""
    group[:] = np.float32(np.inf)
    for start in range(0, LEAF, GROUPS):
        for i in range(GROUPS):
            found = low[start + i]
            group[i] = found if found < group[i] else group[i]  # noqa: FURB136 - min() is slow
    limit = np.float32(np.inf)
    for i in range(GROUPS):
        below = np.float32(0.0)
        for j in range(GROUPS):
            below += np.float32(1.0) if group[j] <= group[i] else np.float32(0.0)
        if below >= count and group[i] < limit:
            limit = group[i]
    return limit
