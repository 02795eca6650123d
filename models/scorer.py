"""A model behind one call: curves in, scores and p-values out. NumPy on both sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from models.artifact import (
    CALIBRATION_PREFIX,
    HEADS_FILE,
    PROVISIONAL_FILE,
    ArtifactError,
    verify,
)
from models.calibration import Calibration, PValues, load_calibration, p_values
from models.engine import Embedder
from models.heads import REASONS, HeadOutput, Heads
from models.inputs import Scaling, input_names, raw_inputs
from models.mcdsvdd import HeadConfig
from models.weights import load_encoder, read_record, read_tensors

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model says about B curves; see worker.types.Scores."""

    score: Float64
    s1: Float64
    s_input: Float64
    nearest: Int32
    second: Int32
    distances: Float64
    top_inputs: Int32
    top_values: Float64
    top_typical: Float64
    top_z: Float64
    neighbours: Int32
    neighbour_distances: Float64
    embedding: Float32


class Scored(Protocol):
    """The part of scores that calibration looks at."""

    @property
    def score(self) -> Float64:
        """Ranking score (B,)."""

    @property
    def s_input(self) -> Float64:
        """Input-space alarm (B,)."""

    @property
    def nearest(self) -> Int32:
        """Index of the nearest class (B,)."""


class Scorer:
    """The packaged or a trained artefact, ready to score."""

    def __init__(self, directory: Path, device: str, calibrations: Sequence[Path]) -> None:
        self.sha256 = verify(directory)
        record = read_record(directory)
        self.name, self.version = str(record["name"]), str(record["version"])
        self.classes: list[str] = list(record["classes"])
        self.input_names = input_names(record["embedding_names"])
        tensors = read_tensors(directory / HEADS_FILE)
        config = record["heads"]
        self._heads = Heads.from_tensors(
            HeadConfig(config["inputs"], tuple(config["widths"]), config["latent"]),
            int(config["seeds"]),
            tensors,
        )
        self._scaling = Scaling.from_tensors(tensors)
        self._fusion = Fusion.from_tensors(tensors)
        self._embedder = Embedder(load_encoder(directory), _device(device))
        self.window = self._embedder.window
        self._provisional = load_calibration(directory / PROVISIONAL_FILE)
        packaged = sorted(directory.glob(f"{CALIBRATION_PREFIX}*"))
        loaded = [load_calibration(path) for path in (*packaged, *calibrations)]
        self.calibrations: dict[str, Calibration] = {c.survey: c for c in loaded}

    @classmethod
    def load(cls, directory: Path, device: str = "auto", calibrations: Sequence[Path] = ()) -> Self:
        """Verify and load; raises ArtifactError, WeightsError or CalibrationError (ValueError)."""
        try:
            return cls(directory, device, calibrations)
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"{directory}: {error!r}") from error

    def is_calibrated(self, survey: str) -> bool:
        """Whether there is a calibration for a survey."""
        return survey in self.calibrations

    def warm_up(self) -> None:
        """Run every shape once."""
        self._embedder.warm_up()
        jd = np.linspace(2460000.0, 2460009.0, 10)
        flat = np.full(10, 18.0) + 0.01 * np.arange(10)
        self.score(np.array([0, 10]), jd, flat, np.full(10, 0.1), np.array([1], dtype=np.uint8))

    def score(self, offsets: Int64, jd: Float64, mag: Float64, err: Float64, kind: UInt8) -> Scores:
        """Score B ragged curves; a row with a value that is not finite gets a NaN score."""
        if len(offsets) - 1 != len(kind):
            raise ValueError("offsets and kind disagree about the number of curves")
        raw, embedding = raw_inputs(self._embedder, offsets, jd, mag, err)
        x = self._scaling.apply(raw)
        out = self._heads(x)
        finite = np.asarray(np.isfinite(embedding).all(axis=1))
        return self._scores(raw, x, out, embedding, finite)

    def p_values(self, survey: str, kind: UInt8, n_points: Int64, scores: Scored) -> PValues:
        """p-values for a survey; provisional ones where it has no calibration."""
        return p_values(
            self.calibrations.get(survey), self._provisional, kind, n_points, scores.score,
            scores.s_input, scores.nearest,
        )  # fmt: skip

    def _scores(
        self, raw: Float64, x: Float32, out: HeadOutput, embedding: Float32,
        finite: NDArray[np.bool_],
    ) -> Scores:  # fmt: skip
        top = np.argsort(-np.abs(x), axis=1, kind="stable")[:, :REASONS].astype(np.int32)
        value = np.nan_to_num(np.take_along_axis(raw, top, axis=1))
        return Scores(
            score=np.where(finite, self._fusion(out.channels), np.nan),
            s1=out.s1,
            s_input=out.s_input,
            nearest=out.nearest,
            second=out.second,
            distances=out.distances,
            top_inputs=top,
            top_values=value,
            top_typical=self._scaling.median[top],
            top_z=np.take_along_axis(x, top, axis=1).astype(np.float64),
            neighbours=out.neighbours,
            neighbour_distances=out.neighbour_distances,
            embedding=embedding,
        )


@dataclass(frozen=True, slots=True)
class Fusion:
    """Mean of the channels after each is centred and scaled by held-out inliers."""

    median: Float64
    spread: Float64

    @classmethod
    def of(cls, channels: Float64) -> "Fusion":
        """From the channels (N, C) of inliers that no head has seen."""
        median = np.median(channels, axis=0)
        spread = 1.4826 * np.median(np.abs(channels - median), axis=0)
        return cls(median, np.maximum(spread, 1e-6))

    def __call__(self, channels: Float64) -> Float64:
        """The ranking score (B,)."""
        return np.asarray(((channels - self.median) / self.spread).mean(axis=1))

    def tensors(self) -> dict[str, torch.Tensor]:
        """For the artefact."""
        return {
            "fusion.median": torch.from_numpy(self.median.copy()),
            "fusion.spread": torch.from_numpy(self.spread.copy()),
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor]) -> "Fusion":
        """From the artefact."""
        return cls(
            tensors["fusion.median"].double().numpy(), tensors["fusion.spread"].double().numpy()
        )


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted
