"""MCDSVDD on plain feature vectors: fit, save, score. The reference's own use."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.artifact import HEADS_FILE, ArtifactError, verify, write_sums
from models.mcdsvdd import (
    PARITY,
    Body,
    HeadConfig,
    TrainingRows,
    TrainPlan,
    fit_mcdsvdd,
    squared_distances,
)
from models.scaling import Scaling
from models.weights import fill, read_record, read_tensors, write_tensors

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

SMALLEST_CLASS = 30
LATENT, LATENT_SMALL, SMALL = 64, 32, 5000
"""Latent dimensions, fewer below so many objects (specification: mcdsvdd, section 11.3)."""

HELD_OUT = 0.15
"""Share of each class that stops the training where no validation set is given."""


class FeatureError(ValueError):
    """Feature arrays that do not fit."""


@dataclass(frozen=True, slots=True)
class PlainScores:
    """Per row: `score` = s1 (N,), `nearest` class name (N,), `distances` (N, K) squared."""

    score: Float64
    nearest: NDArray[np.str_]
    distances: Float64


class PlainModel:
    """Scaling, body and centres over plain feature vectors."""

    def __init__(self, classes: list[str], scaling: Scaling, body: Body, centres: Tensor,
                 config: HeadConfig) -> None:  # fmt: skip
        self.classes, self.config = classes, config
        self._scaling, self._body, self._centres = scaling, body.eval(), centres

    def score(self, x: Float64) -> PlainScores:
        """Score rows (N, D); NaN stands for missing. FeatureError for another width."""
        if x.ndim != 2 or x.shape[1] != self.config.inputs:
            raise FeatureError(f"features {x.shape}, not (N, {self.config.inputs})")
        with torch.inference_mode():
            latents = self._body(torch.from_numpy(self._scaling.apply(x)))
            distances = squared_distances(latents, self._centres).double().numpy()
        nearest = np.array(self.classes)[distances.argmin(axis=1)]
        return PlainScores(distances.min(axis=1, initial=np.inf), nearest, distances)

    def save(self, directory: Path) -> None:
        """Write weights, config and digests."""
        directory.mkdir(parents=True, exist_ok=True)
        body = {f"body.{k}": v for k, v in self._body.state_dict().items()}
        tensors = {**body, **self._scaling.tensors(), "centres": self._centres}
        write_tensors(directory / HEADS_FILE, tensors)
        record = {"kind": "features", "classes": self.classes, "head": asdict(self.config)}
        text = json.dumps(record, indent=1) + "\n"
        (directory / "config.json").write_text(text, encoding="utf-8")
        write_sums(directory)

    @classmethod
    def load(cls, directory: Path) -> "PlainModel":
        """Verify and read; ArtifactError or WeightsError."""
        verify(directory)
        record = read_record(directory)
        if record.get("kind") != "features":
            raise ArtifactError(f"{directory} is no model of plain features")
        head = record["head"]
        config = HeadConfig(**{**head, "widths": tuple(head["widths"])})
        tensors = read_tensors(directory / HEADS_FILE)
        body = Body(config)
        fill(body, {k.removeprefix("body."): v for k, v in tensors.items()
                    if k.startswith("body.")})  # fmt: skip
        return cls(record["classes"], Scaling.from_tensors(tensors), body, tensors["centres"],
                   config)  # fmt: skip


def read_features(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of an .npz without pickle; FeatureError when it is none or x is missing."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise FeatureError(f"{path}: {error}") from error
    if "x" not in found:
        raise FeatureError(f"{path}: no array x")
    return found


def fit_plain(arrays: Mapping[str, NDArray[Any]], plan: TrainPlan = PARITY) -> PlainModel:
    """Train on x (N, D), y (N,) class names; x_val, y_val stop the training where given.

    Classes with fewer than 30 rows get no centre. Raises FeatureError.
    """
    x, y = _pair(arrays, "x", "y")
    names, counts = np.unique(y, return_counts=True)
    classes = [str(n) for n, c in zip(names, counts, strict=True) if c >= SMALLEST_CLASS]
    if not classes:
        raise FeatureError(f"no class has {SMALLEST_CLASS} rows")
    if "x_val" in arrays:
        x_val, y_val = _pair(arrays, "x_val", "y_val")
    else:
        held = _held_out(y, np.random.default_rng(plan.seed))
        x, y, x_val, y_val = x[~held], y[~held], x[held], y[held]
    keep, keep_val = np.isin(y, classes), np.isin(y_val, classes)
    if not keep_val.any():
        raise FeatureError("the validation rows hold none of the classes")
    scaling = Scaling.of(x[keep])
    index, index_val = (np.searchsorted(classes, v) for v in (y[keep], y_val[keep_val]))
    rows = TrainingRows(
        torch.from_numpy(scaling.apply(x[keep])), torch.from_numpy(index),
        (1.0 / np.bincount(index))[index],
        torch.from_numpy(scaling.apply(x_val[keep_val])), torch.from_numpy(index_val),
    )  # fmt: skip
    latent = LATENT_SMALL if len(index) < SMALL else LATENT
    config = HeadConfig(x.shape[1], (512, 256, 128), latent)
    body, centres = fit_mcdsvdd(rows, config, plan)
    return PlainModel(classes, scaling, body, centres, config)


def _held_out(y: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.bool_]:
    held = np.zeros(len(y), dtype=bool)
    for name in np.unique(y):
        rows = np.flatnonzero(y == name)
        held[rng.choice(rows, max(1, int(HELD_OUT * len(rows))), replace=False)] = True
    return held


def _pair(arrays: Mapping[str, NDArray[Any]], x: str, y: str) -> tuple[Float64, NDArray[np.str_]]:
    if x not in arrays or y not in arrays:
        raise FeatureError(f"{x} and {y} are needed")
    values, labels = np.asarray(arrays[x], dtype=np.float64), arrays[y].astype(np.str_)
    if values.ndim != 2 or len(values) != len(labels):
        raise FeatureError(f"{x} {values.shape} and {y} {labels.shape} do not fit")
    if np.isinf(values).any():
        raise FeatureError(f"{x} holds infinities; NaN stands for missing")
    return values, labels
