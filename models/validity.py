"""Do p-values keep their promise? Shares flagged, agreement and leaks, on inliers no head saw.

Curves are scored as they grow: each at its first points, once in every bin of lengths, at fixed
lengths and whole. 1,000 random objects calibrate, the others are judged.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from models.calibration import EDGES, SMALLEST_SET, Calibration, p_values
from models.data import SMALLEST_CURVE, CurveSet, concatenate, cut_rows, part_of
from models.drift import SMALL_P, spearman
from models.fit import NOT_A_CLASS
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


def unseen(curves: CurveSet, classes: Sequence[str]) -> CurveSet:
    """One curve per object that trained no head: of the part `cal`, or of no trained class."""
    trained = np.isin(curves.group, classes) & ~np.isin(curves.group, sorted(NOT_A_CLASS))
    cal = np.array([part_of(name) == "cal" for name in curves.object_id.tolist()])
    rows = np.flatnonzero(~trained | cal)
    _, first = np.unique(curves.object_id[rows], return_index=True)
    return curves.take(rows[np.sort(first)])


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
    grown = concatenate(list(_grown(np.random.default_rng(seed), mine)))
    fixed = {k: first_points(mine.take(np.flatnonzero(n >= k)), k) for k in lengths}
    return Sample(survey, scored(scorer, grown), {k: scored(scorer, c) for k, c in fixed.items()},
                  scored(scorer, mine))  # fmt: skip


def _grown(rng: np.random.Generator, curves: CurveSet) -> Iterator[CurveSet]:
    """The first points of each curve, their number log-uniform within each bin."""
    n = np.diff(curves.offsets)
    for low, high in zip((SMALLEST_CURVE, *EDGES), (*EDGES, n.max() + 1), strict=True):
        rows = np.flatnonzero(n >= low)
        end = np.minimum(high, n[rows] + 1)
        length = np.exp(rng.uniform(np.log(low), np.log(end))).astype(np.int64)
        part = curves.take(rows)
        index, offsets = cut_rows(
            part.offsets, np.zeros_like(length), np.clip(length, low, end - 1)
        )
        yield replace(part, offsets=offsets, time=part.time[index], mag=part.mag[index],
                      err=part.err[index])  # fmt: skip


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


def splits(found: Sample, count: int = SPLITS, *, one_alert: bool = False) -> Iterator[Split]:
    """Random choices of the objects that calibrate, in every bin or, as a stream does, in one."""
    objects = np.unique(found.whole.object_id)
    for seed in range(count):
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(objects)[:SMALLEST_SET]
        inside = found.grown.take(np.isin(found.grown.object_id, chosen))
        if one_alert:
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
        bins = [np.searchsorted(EDGES, part.n_points, side="right")
                for part in (split.inside, outside)]  # fmt: skip
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


def leaks(found: Sample, each: Sequence[Split]) -> list[tuple[str, str, int, Float64]]:
    """Class, `whole` or `grown`, curves, Spearman correlation of p with each of PATTERNS."""
    result = []
    for name, part in (("whole", found.whole), ("grown", one_each(found.grown))):
        p = mean_p(part, each)
        for group in np.unique(part.group).tolist():
            mine = (part.group == group) & np.isfinite(p)
            if mine.sum() >= SMALLEST_CLASS:
                values = [spearman(p[mine], part.pattern[mine, i]) for i in range(len(PATTERNS))]
                result.append((group or "unlabelled", name, int(mine.sum()), np.array(values)))
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
    inner = [f"{low}-{high - 1}" for low, high in pairwise(ends)]
    return [*inner, f"{ends[-1]} and more"]
