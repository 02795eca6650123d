"""Sets of scores by the number of points, and the p-value of a score against its set.

p = (1 + #{scores >= s}) / (n + 1); beyond the set's resolution a generalised Pareto tail, flagged
(specification: mcdsvdd, section 11.5).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numba
import numpy as np
from numpy.typing import NDArray

from models.features import SHORTEST

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]

STEP, LONGEST = 1.05, 2000

LONG = SHORTEST
"""From here on the score knows the period."""

SMALLEST_BIN, FULL_BIN, FULL_SHARE = 200, 400, 0.1
"""A bin with fewer scores borrows those nearest in length: 200, or a tenth of all up to 400."""

SMALLEST_SIDE = 100
"""Scores on this side of `LONG` without which they are borrowed from the other: p reaches 1 %."""

WIDE = 120
STRANGEST = 0.1
"""From the bin of `WIDE` points on only its strangest tenth is told by its own length.

How long a curve becomes depends on its class: faint, red and slow objects are detected less often.
Conditioned on length alone, the p of an ordinary object would follow the mix of classes there, and
so how often it was observed.
"""

TAIL_SHARE = 0.05
TAIL_COUNT = 10
"""Scores without which no Pareto tail is fitted; it speaks beyond the largest alone."""


def _edges() -> Int64:
    edges = list(range(6, SHORTEST + 1))
    while edges[-1] < LONGEST:
        edges.append(int(edges[-1] * STEP))
    return np.array(edges, dtype=np.int64)


EDGES = _edges()
"""Bins of the number of points: each number below 40, then a twentieth longer each.

The tail of the score falls as a curve grows, quickly where it is short. No bin reaches across
`LONG`, where the score jumps.
"""


def bin_of(n_points: Int64) -> Int64:
    """Index of the bin (B,) of curves with so many points."""
    return np.searchsorted(EDGES, n_points, side="right").astype(np.int64)


@dataclass(frozen=True, slots=True)
class ReferenceSets:
    """Sets of scores, each sorted, one after the other; `tail` (sets, 3) of the Pareto fits."""

    scores: Float64
    start: Int64
    stop: Int64
    tail: Float64

    @classmethod
    def of(cls, sets: Sequence[Float64]) -> Self:
        """From the scores of each set, in any order."""
        ordered = [np.sort(scores) for scores in sets]
        ends = np.cumsum([len(scores) for scores in ordered], dtype=np.int64)
        tail = np.array([_pareto(scores) for scores in ordered])
        starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
        return cls(np.concatenate([*ordered, []]), starts, ends, tail.reshape(-1, 3))

    def size(self, which: Int64) -> Int64:
        """Number of scores (B,) of sets by index."""
        return self.stop[which] - self.start[which]

    def p(self, which: Int64, score: Float64) -> tuple[Float64, Bool]:
        """p (B,) of scores against sets by index, and whether the tail fit was used."""
        size = self.size(which)
        above = _at_least(self.scores, self.start, self.stop, which, score)
        p = (1.0 + above) / (size + 1.0)
        far = (above == 0) & (size >= SMALLEST_BIN)
        threshold, shape, scale = self.tail[which[far]].T
        beyond = TAIL_SHARE * _survival((score[far] - threshold) / scale, shape)
        p[far] = np.clip(beyond, 1e-9, 1.0 / (size[far] + 1.0))
        return np.where(np.isnan(score), np.nan, p), far


@dataclass(frozen=True, slots=True)
class BinnedSets:
    """Sets by magnitude kind, bin and class.

    `place` (2, bins, classes + 1) index of the set; in column 0 of all classes, which also
    stands where a class has too few scores.
    """

    sets: ReferenceSets
    place: Int64
    kinds: tuple[int, ...]

    @classmethod
    def of(
        cls, score: Mapping[int, Float64], n_points: Mapping[int, Int64],
        label: Mapping[int, Int64] | None = None,
    ) -> Self:  # fmt: skip
        """From scores (N,), numbers of points and classes (by index) of each magnitude kind."""
        labels = label or {}
        classes = 1 + max((int(found.max(initial=-1)) for found in labels.values()), default=-1)
        place = np.zeros((2, len(EDGES) + 1, classes + 1), dtype=np.int64)
        sets: list[Float64] = []
        for kind, values in score.items():
            rows = np.argsort(n_points[kind], kind="stable")
            groups = [rows, *(rows[labels[kind][rows] == number] for number in range(classes))]
            for column, mine in enumerate(groups):
                if column and len(mine) < SMALLEST_BIN:
                    place[kind, :, column] = place[kind, :, 0]
                    continue
                place[kind, :, column] = np.arange(len(sets), len(sets) + len(EDGES) + 1)
                sets += _sets(values[mine], n_points[kind][mine])
        return cls(ReferenceSets.of(sets), place, tuple(score))

    def nearest_kind(self, kind: UInt8) -> UInt8:
        """The same kinds, or the other one where a kind has no scores."""
        return np.where(np.isin(kind, self.kinds), kind, 1 - kind).astype(np.uint8)

    def of_bin(self, kind: UInt8, n_points: Int64) -> Int64:
        """Index of the sets (B,) of all classes."""
        return np.asarray(self.place[kind, bin_of(n_points), 0])

    def of_class(self, kind: UInt8, n_points: Int64, label: NDArray[np.integer]) -> Int64:
        """Index of the sets (B,) of a class."""
        column = np.where(label < self.place.shape[2] - 1, label + 1, 0)
        return np.asarray(self.place[kind, bin_of(n_points), column])

    def size(self, which: Int64) -> Int64:
        """Number of scores (B,) of sets by index."""
        return self.sets.size(which)

    def p(self, which: Int64, score: Float64) -> tuple[Float64, Bool]:
        """p (B,) of scores against sets by index, and whether the tail fit was used."""
        return self.sets.p(which, score)


def _sets(scores: Float64, n_points: Int64) -> list[Float64]:
    """Scores of each bin, from those of numbers of points in ascending order; see WIDE."""
    own = [np.sort(scores[rows]) for rows in _members(n_points)]
    ordinary = [values[: int((1.0 - STRANGEST) * len(values))] for values in own]
    limit = np.array([values.max(initial=-np.inf) for values in ordinary])
    bins, first = bin_of(n_points), int(bin_of(np.array([WIDE]))[0])
    wide = np.sort(scores[(bins >= first) & (scores <= limit[bins])])
    if len(wide) < SMALLEST_SIDE:
        return own
    for values, most in zip(ordinary[first:], limit[first:], strict=True):
        level = (np.arange(len(values)) + 0.5) / len(values)
        values[:] = np.minimum(wide[(level * len(wide)).astype(np.int64)], most)
    return own


def _members(n_points: Int64) -> Iterator[Int64]:
    """Rows of each bin, of numbers of points in ascending order; see SMALLEST_BIN."""
    wanted = min(max(int(FULL_SHARE * len(n_points)), SMALLEST_BIN), FULL_BIN)
    bins = np.searchsorted(n_points, [0, *EDGES, np.iinfo(np.int64).max])
    long = int(np.searchsorted(n_points, LONG))
    ends = np.log([5, *EDGES, 2 * EDGES[-1]])
    place = np.log(np.maximum(n_points, 1))
    for b in range(len(EDGES) + 1):
        first, last = bins[b], bins[b + 1]
        if last - first >= wanted:
            yield np.arange(first, last)
            continue
        side = (long, len(n_points)) if ends[b] >= np.log(LONG) else (0, long)
        low, high = side if side[1] - side[0] >= SMALLEST_SIDE else (0, len(n_points))
        middle = 0.5 * (ends[b] + ends[b + 1])
        around = low + int(np.searchsorted(place[low:high], middle))
        near = np.arange(max(low, around - wanted), min(high, around + wanted))
        closest = np.argsort(np.abs(place[near] - middle), kind="stable")[:wanted]
        yield near[closest]


@numba.njit(cache=True, nogil=True)
def _at_least(scores: Float64, start: Int64, stop: Int64, which: Int64, score: Float64) -> Int64:
    """How many scores of its set reach each score (B,)."""
    count = np.zeros(len(score), np.int64)
    for row in range(len(score)):
        low, high = start[which[row]], stop[which[row]]
        while low < high:
            middle = (low + high) // 2
            if scores[middle] < score[row]:
                low = middle + 1
            else:
                high = middle
        count[row] = stop[which[row]] - low
    return count


def _pareto(ordered: Float64) -> tuple[float, float, float]:
    """Threshold, shape and scale of a generalised Pareto tail by probability-weighted moments.

    Hosking and Wallis 1987; the shape is kept below 0.5 so that the mean exists, and not negative:
    a few hundred scores can't tell that a larger one is impossible.
    """
    count = int(TAIL_SHARE * len(ordered))
    if count < TAIL_COUNT:
        return float(ordered[-1]) if len(ordered) else 0.0, 0.0, 1.0
    threshold = float(ordered[-count - 1])
    excess = ordered[-count:] - threshold
    weight = 1.0 - (np.arange(1, count + 1) - 0.35) / count
    first, second = float(excess.mean()), float((weight * excess).mean())
    if first <= 2 * second or first <= 0:
        return threshold, 0.0, max(first, 1e-9)
    shape = 2.0 - first / (first - 2 * second)
    scale = 2.0 * first * second / (first - 2 * second)
    return threshold, min(max(shape, 0.0), 0.5), max(scale, 1e-9)


def _survival(x: Float64, shape: Float64) -> Float64:
    x = np.maximum(x, 0.0)
    straight = np.abs(shape) < 1e-6
    bent = np.where(straight, 1.0, shape)
    curved = np.maximum(1.0 + bent * x, 1e-12) ** (-1.0 / bent)
    return np.asarray(np.where(straight, np.exp(-x), curved))
