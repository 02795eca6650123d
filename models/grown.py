"""Curves as a stream shows them, from an archive: each object at every length that it had."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.bins import EDGES
from models.calibration import KINDS, SMALLEST_SET, CalibrationError
from models.data import SMALLEST_CURVE, CurveSet, concatenate, cut_rows, part_of

NOT_A_CLASS = frozenset({"", "VAR", "NONVAR"})
"""Labels that name no kind of object."""


def as_they_grow(rng: np.random.Generator, curves: CurveSet) -> CurveSet:
    """The first points of each curve once in every bin, their number log-uniform within it."""
    return concatenate(list(_by_bin(rng, curves)))


def _by_bin(rng: np.random.Generator, curves: CurveSet) -> Iterator[CurveSet]:
    n = np.diff(curves.offsets)
    longest = int(n.max(initial=SMALLEST_CURVE))
    lows = [low for low in (SMALLEST_CURVE, *EDGES.tolist()) if low <= longest]
    for low, high in zip(lows, (*lows[1:], longest + 1), strict=True):
        rows = np.flatnonzero(n >= low)
        end = np.minimum(high, n[rows] + 1)
        length = np.exp(rng.uniform(np.log(low), np.log(end))).astype(np.int64)
        part = curves.take(rows)
        index, offsets = cut_rows(
            part.offsets, np.zeros_like(length), np.clip(length, low, end - 1)
        )
        yield replace(part, offsets=offsets, time=part.time[index], mag=part.mag[index],
                      err=part.err[index])  # fmt: skip


def unseen(curves: CurveSet, classes: Sequence[str]) -> CurveSet:
    """One curve per object that trained no head: of the part `cal`, or of no trained class."""
    trained = np.isin(curves.group, classes) & ~np.isin(curves.group, sorted(NOT_A_CLASS))
    cal = np.array([part_of(name) == "cal" for name in curves.object_id.tolist()], dtype=bool)
    rows = np.flatnonzero(~trained | cal)
    _, first = np.unique(curves.object_id[rows], return_index=True)
    return curves.take(rows[np.sort(first)])


def calibrating(curves: CurveSet, survey: str, classes: Sequence[str], seed: int = 0) -> CurveSet:
    """What calibrates a survey: its unseen objects as they grow.

    Magnitude kinds with fewer than 1,000 objects are left out; CalibrationError when none has
    enough.
    """
    fresh = unseen(curves.take(np.flatnonzero(curves.survey == survey)), classes)
    counts = [int((fresh.apparent == bool(kind)).sum()) for kind in range(len(KINDS))]
    usable: NDArray[np.bool_] = np.array(counts) >= SMALLEST_SET
    if not usable.any():
        found = dict(zip(KINDS, counts, strict=True))
        raise CalibrationError(
            f"survey {survey}: a magnitude kind needs {SMALLEST_SET} objects that trained no head, "
            f"found {found}"
        )
    chosen = fresh.take(np.flatnonzero(usable[fresh.apparent.astype(np.int64)]))
    return as_they_grow(np.random.default_rng(seed), chosen)
