"""Nearest reference rows, by exact differences: a row's result must not depend on its batch."""

import numba
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


def as_columns(reference: Float32) -> Float32:
    """Reference rows (R, L) as the (L, R) that `nearest` walks through."""
    return np.ascontiguousarray(reference.T)


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def nearest(x: Float32, columns: Float32, count: int) -> tuple[Float32, Int32]:
    """Distances and indices (B, count) of the nearest of R references (L, R), nearest first."""
    rows, size = len(x), columns.shape[1]
    distance = np.full((rows, count), np.float32(np.inf), np.float32)
    index = np.zeros((rows, count), np.int32)
    squared = np.empty(size, np.float32)
    for row in range(rows):
        squared[:] = np.float32(0.0)
        # Four axes at a time: the sums are read and written a quarter as often.
        whole = len(columns) - len(columns) % 4
        for axis in range(0, whole, 4):
            v0, v1, v2, v3 = x[row, axis], x[row, axis + 1], x[row, axis + 2], x[row, axis + 3]
            for r in range(size):
                s0, s1 = v0 - columns[axis, r], v1 - columns[axis + 1, r]
                s2, s3 = v2 - columns[axis + 2, r], v3 - columns[axis + 3, r]
                squared[r] += (s0 * s0 + s1 * s1) + (s2 * s2 + s3 * s3)
        for axis in range(whole, len(columns)):
            value = x[row, axis]
            for r in range(size):
                step = value - columns[axis, r]
                squared[r] += step * step
        for r in range(size):
            if squared[r] < distance[row, count - 1]:
                place = count - 1
                while place > 0 and distance[row, place - 1] > squared[r]:
                    distance[row, place] = distance[row, place - 1]
                    index[row, place] = index[row, place - 1]
                    place -= 1
                distance[row, place] = squared[r]
                index[row, place] = r
    return np.sqrt(distance), index
