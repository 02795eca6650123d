"""Conformal calibration: scores of unseen inliers turn a score into a p-value.

p = (1 + #{calibration scores >= s}) / (n + 1), given the number of points; beyond the set's
resolution a generalised Pareto tail, flagged (specification: mcdsvdd, section 11.5).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.features import SHORTEST

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
UInt8 = NDArray[np.uint8]

EDGES = np.array([10, 14, 20, 40, 100, 200])
"""Bins of the number of points: 5-9, 10-13, 14-19, 20-39, 40-99, 100-199, 200 and more.

Short ones are narrow, since the tail of the score falls quickly there; none reaches across
`LONG`, where it jumps.
"""

LONG = SHORTEST
"""From here on the score knows the period."""

SMALLEST_BIN = 200
"""A bin with fewer objects borrows those nearest in length."""

SMALLEST_SIDE = 100
"""Objects on this side of `LONG` without which they are borrowed from the other: p reaches 1 %."""

SMALLEST_SET = 1000
"""Objects per survey and magnitude kind without which there is no calibration."""

TAIL_SHARE = 0.05
TAIL_COUNT = 10
"""Scores without which no Pareto tail is fitted; it speaks beyond the largest alone."""

KINDS = ("difference", "apparent")


class CalibrationError(ValueError):
    """A calibration file that is unreadable, too small or another model's."""


@dataclass(frozen=True, slots=True)
class PValues:
    """p-values of B scores; see worker.types.scores.PValues."""

    p: Float64
    p_class: Float64
    p_input: Float64
    p_provisional: Float64
    extrapolated: NDArray[np.bool_]
    n_cal: Int32
    calibration_sha256: Sequence[str | None]


def conformal_p(calibration: Float64, score: Float64) -> Float64:
    """p (B,) of scores against those of unseen inliers, in any order."""
    above = len(calibration) - np.searchsorted(np.sort(calibration), score, side="left")
    return np.asarray((1.0 + above) / (len(calibration) + 1.0))


class ReferenceSet:
    """Sorted scores of inliers, and the p-value of a new score against them."""

    def __init__(self, scores: Float64) -> None:
        self._scores = np.sort(scores)
        self._threshold, self._shape, self._scale = _pareto(self._scores)

    def __len__(self) -> int:
        return len(self._scores)

    def p(self, score: Float64) -> tuple[Float64, NDArray[np.bool_]]:
        """p (B,) and whether the tail fit was used."""
        size = len(self._scores)
        above = size - np.searchsorted(self._scores, score, side="left")
        p = np.asarray((1.0 + above) / (size + 1.0), dtype=np.float64)
        far = (above == 0) & (size >= SMALLEST_BIN)
        if far.any():
            beyond = (score[far] - self._threshold) / self._scale
            tail = TAIL_SHARE * _survival(beyond, self._shape)
            p[far] = np.clip(tail, 1e-9, 1.0 / (size + 1.0))
        return p, far


@dataclass(frozen=True)
class Calibration:
    """Scores of one survey's unseen inliers, by magnitude kind."""

    survey: str
    sha256: str
    score: Mapping[int, Float64]
    s_input: Mapping[int, Float64]
    n_points: Mapping[int, Int64]
    nearest: Mapping[int, Int64]
    model_sha256: str = ""

    @cached_property
    def kinds(self) -> list[int]:
        """Kinds with enough objects."""
        return [kind for kind, values in self.score.items() if len(values) >= SMALLEST_SET]

    @cached_property
    def _sets(self) -> dict[tuple[str, int, int, int], ReferenceSet]:
        sets: dict[tuple[str, int, int, int], ReferenceSet] = {}
        for kind, score in self.score.items():
            n, nearest = self.n_points[kind], self.nearest[kind]
            groups = [("score", score, -1, np.arange(len(n)))]
            groups.append(("input", self.s_input[kind], -1, np.arange(len(n))))
            groups += [("score", score, label, np.flatnonzero(nearest == label))
                       for label in np.unique(nearest).tolist()]  # fmt: skip
            for name, values, label, rows in groups:
                if label >= 0 and len(rows) < SMALLEST_BIN:
                    continue
                for b in range(len(EDGES) + 1):
                    mine = rows[bin_members(n[rows], b)]
                    sets[name, kind, b, label] = ReferenceSet(values[mine])
        return sets

    def find(self, name: str, kind: int, b: int, label: int = -1) -> ReferenceSet | None:
        """The set of a bin (and class); of all classes where the class is too small."""
        return self._sets.get((name, kind, b, label)) or self._sets.get((name, kind, b, -1))


def bin_members(n_points: Int64, b: int) -> Int64:
    """Rows of a bin; where these are too few, as many as are needed of the nearest in length."""
    rows = np.flatnonzero(np.searchsorted(EDGES, n_points, side="right") == b)
    if len(rows) >= SMALLEST_BIN:
        return rows
    ends = [5, *EDGES.tolist(), 2 * int(EDGES[-1])]
    away = np.abs(np.log(np.maximum(n_points, 1)) - 0.5 * np.log(ends[b] * ends[b + 1]))
    same = (n_points >= LONG) == (ends[b] >= LONG)
    if same.sum() >= SMALLEST_SIDE:
        away = np.where(same, away, np.inf)
    closest = np.argsort(away, kind="stable")[:SMALLEST_BIN]
    return np.asarray(closest[np.isfinite(away[closest])], dtype=np.int64)


def p_values(
    calibration: Calibration | None,
    provisional: Calibration,
    kind: UInt8,
    n_points: Int64,
    score: Float64,
    s_input: Float64,
    nearest: Int32,
) -> PValues:
    """Calibrated p where the survey has a calibration of the kind, else provisional p."""
    rows = len(score)
    nan = np.full((4, rows), np.nan)
    extrapolated, n_cal = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=np.int32)
    digests: list[str | None] = [None] * rows
    bins = np.searchsorted(EDGES, n_points, side="right")
    cells = np.stack([kind.astype(np.int64), bins], axis=1).reshape(-1, 2)
    for k, b in np.unique(cells, axis=0).tolist():
        mine = np.flatnonzero((kind == k) & (bins == b))
        if calibration is None or k not in calibration.kinds:
            reference = provisional.find("score", k, b) or provisional.find("score", 1 - k, b)
            if reference is not None:
                nan[3, mine], extrapolated[mine] = reference.p(score[mine])
            continue
        found = calibration.find("score", k, b)
        assert found is not None
        nan[0, mine], extrapolated[mine] = found.p(score[mine])
        n_cal[mine] = len(found)
        by_input = calibration.find("input", k, b)
        assert by_input is not None
        nan[2, mine], _ = by_input.p(s_input[mine])
        for label in np.unique(nearest[mine]).tolist():
            own = mine[nearest[mine] == label]
            by_class = calibration.find("score", k, b, label)
            if by_class is not None:
                nan[1, own], _ = by_class.p(score[own])
        for row in mine.tolist():
            digests[row] = calibration.sha256
    return PValues(nan[0], nan[1], nan[2], nan[3], extrapolated, n_cal, digests)


def save_calibration(
    path: Path,
    survey: str,
    kind: UInt8,
    n_points: Int64,
    score: Float64,
    s_input: Float64,
    nearest: Int32,
    model_sha256: str = "",
) -> None:
    """Write the scores of unseen inliers as an immutable file.

    `model_sha256`: the artefact that gave the scores; empty for one that is part of it.
    """
    tensors: dict[str, torch.Tensor] = {}
    for k in np.unique(kind).tolist():
        mine = kind == k
        for name, values in (
            ("score", score.astype(np.float32)),
            ("s_input", s_input.astype(np.float32)),
            ("n_points", n_points.astype(np.int32)),
            ("nearest", nearest.astype(np.int32)),
        ):
            tensors[f"{KINDS[k]}.{name}"] = torch.from_numpy(values[mine].copy())
    save_file(tensors, path, metadata={"survey": survey, "model_sha256": model_sha256})
    path.chmod(0o644)


def load_calibration(path: Path) -> Calibration:
    """Read a calibration; CalibrationError when it is broken."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            survey, model = metadata["survey"], metadata.get("model_sha256", "")
            found = {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError) as error:
        raise CalibrationError(f"calibration {path}: {error}") from error
    table: dict[str, dict[int, NDArray[np.generic]]] = {
        name: {k: found[f"{kind}.{name}"] for k, kind in enumerate(KINDS) if f"{kind}.{name}" in
               found} for name in ("score", "s_input", "n_points", "nearest")
    }  # fmt: skip
    return Calibration(
        survey,
        digest,
        {k: v.astype(np.float64) for k, v in table["score"].items()},
        {k: v.astype(np.float64) for k, v in table["s_input"].items()},
        {k: v.astype(np.int64) for k, v in table["n_points"].items()},
        {k: v.astype(np.int64) for k, v in table["nearest"].items()},
        model,
    )


def _pareto(ordered: Float64) -> tuple[float, float, float]:
    """Threshold, shape and scale of a generalised Pareto tail by probability-weighted moments.

    Hosking and Wallis 1987; the shape is kept below 0.5 so that the mean exists.
    """
    count = int(TAIL_SHARE * len(ordered))
    if count < TAIL_COUNT:
        return float(ordered[-1]) if len(ordered) else 0.0, 0.0, 1.0
    threshold = float(ordered[-count - 1])
    excess = ordered[-count:] - threshold
    weight = 1.0 - (np.arange(1, count + 1) - 0.35) / count
    first, second = excess.mean(), (weight * excess).mean()
    if first <= 2 * second or first <= 0:
        return threshold, 0.0, max(float(first), 1e-9)
    shape = 2.0 - first / (first - 2 * second)
    scale = 2.0 * first * second / (first - 2 * second)
    return threshold, float(np.clip(shape, -0.5, 0.5)), max(float(scale), 1e-9)


def _survival(x: Float64, shape: float) -> Float64:
    x = np.maximum(x, 0.0)
    if abs(shape) < 1e-6:
        return np.asarray(np.exp(-x))
    return np.asarray(np.maximum(1.0 + shape * x, 1e-12) ** (-1.0 / shape))
