"""Conformal calibration: scores of unseen inliers turn a score into a p-value.

p = (1 + #{calibration scores >= s}) / (n + 1), given the number of points; beyond the set's
resolution a generalised Pareto tail, flagged (specification: mcdsvdd, section 11.5).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from models.bins import BinnedSets
from models.weights import write_tensors

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
UInt8 = NDArray[np.uint8]

SMALLEST_SET = 1000
"""Objects per survey and magnitude kind without which there is no calibration."""

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
    def score_sets(self) -> BinnedSets:
        """Scores by number of points, and by class where a class has enough objects."""
        return BinnedSets.of(self.score, self.n_points, self.nearest)

    @cached_property
    def input_sets(self) -> BinnedSets:
        """Distances between inputs by number of points."""
        return BinnedSets.of(self.s_input, self.n_points)


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
    rows, kinds = len(score), calibration.kinds if calibration else []
    p, p_class, p_input, p_provisional = np.full((4, rows), np.nan)
    found = PValues(p, p_class, p_input, p_provisional, np.zeros(rows, dtype=bool),
                    np.zeros(rows, dtype=np.int32), [None] * rows)  # fmt: skip
    has_own = np.isin(kind, kinds)
    foreign = np.flatnonzero(~has_own)
    if foreign.size:
        sets = provisional.score_sets
        where = sets.of_bin(sets.nearest_kind(kind[foreign]), n_points[foreign])
        found.p_provisional[foreign], found.extrapolated[foreign] = sets.p(where, score[foreign])
    own = np.flatnonzero(has_own)
    if calibration is None or own.size == 0:
        return found
    sets, k, n = calibration.score_sets, kind[own], n_points[own]
    where = sets.of_bin(k, n)
    found.p[own], found.extrapolated[own] = sets.p(where, score[own])
    found.n_cal[own] = sets.size(where)
    found.p_class[own], _ = sets.p(sets.of_class(k, n, nearest[own]), score[own])
    inputs = calibration.input_sets
    found.p_input[own], _ = inputs.p(inputs.of_bin(k, n), s_input[own])
    digests = [calibration.sha256 if mine else None for mine in has_own.tolist()]
    return replace(found, calibration_sha256=digests)


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
    write_tensors(path, tensors, {"survey": survey, "model_sha256": model_sha256})


def load_calibration(path: Path) -> Calibration:
    """Read a calibration; CalibrationError when it is broken."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            survey, model = metadata["survey"], metadata.get("model_sha256", "")
            found = {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118 - no dict
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
