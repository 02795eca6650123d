"""Do p-values keep their promise? Shares flagged, agreement and leaks, on inliers no head saw.

Curves are scored as they grow: each at its first points, once in every bin of lengths, at fixed
lengths and whole. Whole curves are another population than growing ones of the same length: these
include objects that will be seen more often. 1,000 random objects calibrate, the others are judged.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from models.bins import EDGES, bin_of
from models.calibration import SMALLEST_SET, Calibration, p_values
from models.data import SMALLEST_CURVE, CurveSet
from models.drift import SMALL_P, spearman
from models.grown import as_they_grow
from models.protocols import first_points
from models.scorer import Scorer

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

LENGTHS = (10, 20, 50, 100, 200)
SPLITS = 20
JUDGED = 300
"""Objects beside those that calibrate without which a survey is not judged."""

SMALLEST_BIN = 200
SMALLEST_CLASS = 100
PATTERNS = ("number of points", "span", "cadence", "mean magnitude")


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of N curves, and what the telescope did: `pattern` (N, 4) in PATTERNS' order."""

    object_id: NDArray[np.str_]
    group: NDArray[np.str_]
    n_points: Int64
    kind: NDArray[np.uint8]
    score: Float64
    s_input: Float64
    nearest: NDArray[np.int32]
    pattern: Float64

    def take(self, rows: Int64 | Bool) -> "Scored":
        """These rows."""
        return Scored(*(getattr(self, name)[rows] for name in Scored.__slots__))


@dataclass(frozen=True, slots=True)
class Sample:
    """A survey's inliers: as they grow, once in every bin; at fixed lengths; whole."""

    survey: str
    grown: Scored
    fixed: Mapping[int, Scored]
    whole: Scored


def large_surveys(curves: CurveSet) -> list[str]:
    """Surveys with enough objects to calibrate and to judge."""
    names, counts = np.unique(curves.survey, return_counts=True)
    return [str(n) for n, c in zip(names, counts, strict=True) if c >= SMALLEST_SET + JUDGED]


def sample(
    scorer: Scorer, curves: CurveSet, survey: str, lengths: Sequence[int] = LENGTHS, seed: int = 0
) -> Sample:
    """Score a survey's curves."""
    mine = curves.take(np.flatnonzero(curves.survey == survey))
    n = np.diff(mine.offsets)
    grown = as_they_grow(np.random.default_rng(seed), mine)
    fixed = {k: first_points(mine.take(np.flatnonzero(n >= k)), k) for k in lengths}
    return Sample(survey, scored(scorer, grown), {k: scored(scorer, c) for k, c in fixed.items()},
                  scored(scorer, mine))  # fmt: skip


def scored(scorer: Scorer, curves: CurveSet) -> Scored:
    """Scores of curves."""
    kind, n = curves.apparent.astype(np.uint8), np.diff(curves.offsets)
    found = scorer.score(curves.offsets, curves.time, curves.mag, curves.err, kind)
    first, last = curves.offsets[:-1], curves.offsets[1:] - 1
    span = curves.time[last] - curves.time[first]
    pattern = [n, span, span / n, np.add.reduceat(curves.mag, first) / n]
    return Scored(curves.object_id, curves.group, n, kind, found.score, found.s_input,
                  found.nearest, np.stack(pattern, axis=1))  # fmt: skip


def calibration_of(part: Scored, survey: str) -> Calibration:
    """As `save_calibration` would store these scores."""
    kinds = np.unique(part.kind).tolist()
    columns = (part.score, part.s_input, part.n_points, part.nearest.astype(np.int64))
    by_kind = [{k: values[part.kind == k] for k in kinds} for values in columns]
    return Calibration(survey, "", *by_kind)  # type: ignore[arg-type]  # a column each


@dataclass(frozen=True, slots=True)
class Split:
    """A calibration from 1,000 objects, and who is left to be judged by it."""

    calibration: Calibration
    inside: Scored
    chosen: NDArray[np.str_]

    def judged(self, part: Scored) -> Bool:
        """Rows of objects that did not calibrate."""
        return ~np.isin(part.object_id, self.chosen)

    def p(self, part: Scored) -> Float64:
        """p of scores by this calibration."""
        found = p_values(self.calibration, self.calibration, part.kind, part.n_points, part.score,
                         part.s_input, part.nearest)  # fmt: skip
        return found.p


GROWN, ONE_ALERT, WHOLE = "every bin", "one alert", "whole curves"
"""What calibrates: see `splits`."""


def splits(found: Sample, kind: str = GROWN, count: int = SPLITS) -> Iterator[Split]:
    """Random choices of the objects that calibrate.

    By one score in every bin, by one score in all, as a stream does, or as they are at the end.
    """
    objects = np.unique(found.whole.object_id)
    part = found.whole if kind == WHOLE else found.grown
    for seed in range(count):
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(objects)[:SMALLEST_SET]
        inside = part.take(np.isin(part.object_id, chosen))
        if kind == ONE_ALERT:
            inside = one_each(inside, seed)
        yield Split(calibration_of(inside, found.survey), inside, chosen)


def flagged(found: Sample, each: Sequence[Split]) -> dict[str, tuple[float, float, int]]:
    """Share with p <= 0.01 by length: mean and scatter over splits, and curves of the length."""
    parts = {**{str(k): v for k, v in found.fixed.items()}, "whole": found.whole,
             "grown": found.grown}  # fmt: skip
    result = {}
    for name, part in parts.items():
        shares = [float((split.p(part.take(split.judged(part))) <= SMALL_P).mean())
                  for split in each]  # fmt: skip
        result[name] = (float(np.mean(shares)), float(np.std(shares)), len(part.score))
    return result


def agreement(found: Sample, each: Sequence[Split]) -> list[tuple[str, int, float, float]]:
    """Test, judged objects, median KS p over splits, share of splits that pass at 0.01.

    p of judged curves against p of those that calibrated: all lengths together (one of an object,
    as the test wants independent values), and within bins that have 200 of either, where 0.01 is
    divided by the number of bins.
    """
    rows: dict[str, list[tuple[int, float]]] = {}
    for split in each:
        outside = found.grown.take(split.judged(found.grown))
        mine, theirs = split.p(split.inside), split.p(outside)
        single = [split.p(one_each(part)) for part in (split.inside, outside)]
        rows.setdefault("all lengths", []).append((len(single[1]), ks_2samp(*single).pvalue))
        bins = [bin_of(part.n_points) for part in (split.inside, outside)]
        for b, name in enumerate(bin_names()):
            inside, judged = mine[bins[0] == b], theirs[bins[1] == b]
            if min(len(inside), len(judged)) >= SMALLEST_BIN:
                rows.setdefault(name, []).append((len(judged), ks_2samp(inside, judged).pvalue))
    limits = {name: SMALL_P / (1 if name == "all lengths" else len(rows) - 1) for name in rows}
    return [
        (name, int(np.median([c for c, _ in values])), float(np.median([p for _, p in values])),
         float(np.mean([p >= limits[name] for _, p in values])))
        for name, values in rows.items()
    ]  # fmt: skip


def leaks(part: Scored, each: Sequence[Split]) -> list[tuple[str, int, Float64]]:
    """Class, its curves (one of an object), Spearman correlation of p with each of PATTERNS."""
    result = []
    p = mean_p(part, each)
    for group in np.unique(part.group).tolist():
        mine = (part.group == group) & np.isfinite(p)
        if mine.sum() >= SMALLEST_CLASS:
            values = [spearman(p[mine], part.pattern[mine, i]) for i in range(len(PATTERNS))]
            result.append((group or "unlabelled", int(mine.sum()), np.array(values)))
    return result


def one_each(part: Scored, seed: int = 0) -> Scored:
    """One row per object, drawn."""
    rows = np.random.default_rng(seed).permutation(len(part.score))
    _, first = np.unique(part.object_id[rows], return_index=True)
    return part.take(rows[first])


def mean_p(part: Scored, each: Sequence[Split]) -> Float64:
    """Mean p of each curve over the splits that judge it; NaN where none does."""
    total, count = np.zeros(len(part.score)), np.zeros(len(part.score))
    for split in each:
        judged = split.judged(part)
        total[judged] += split.p(part.take(judged))
        count[judged] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def bin_names() -> list[str]:
    """Names of the bins of lengths."""
    ends = [SMALLEST_CURVE, *EDGES.tolist()]
    inner = [str(low) if high == low + 1 else f"{low}-{high - 1}" for low, high in pairwise(ends)]
    return [*inner, f"{ends[-1]} and more"]
