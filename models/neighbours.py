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
        for axis in range(len(columns)):
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
