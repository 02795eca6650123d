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
from models.calibration import Calibration, CalibrationError, PValues, load_calibration, p_values
from models.detector import Detection, Detector
from models.engine import Embedder
from models.inputs import PREDICTED, RawViews, raw_views
from models.memo import PeriodMemo, Shelf
from models.weights import load_encoder, read_record, read_tensors

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model says about B curves; see worker.types.scores.Scores."""

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
        self._detector = Detector.from_tensors(
            self.classes, record["heads"], read_tensors(directory / HEADS_FILE)
        )
        self.input_names = self._detector.input_names
        self._embedder = Embedder(load_encoder(directory), _device(device))
        self.window = self._embedder.window
        self._memo = PeriodMemo()
        self._provisional = load_calibration(directory / PROVISIONAL_FILE)
        packaged = sorted(directory.glob(f"{CALIBRATION_PREFIX}*"))
        loaded = [load_calibration(path) for path in (*packaged, *calibrations)]
        for found in loaded:
            if found.model_sha256 not in ("", self.sha256):
                raise CalibrationError(f"the calibration of {found.survey} is another model's")
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
        # Long enough for the period block.
        jd = np.linspace(2460000.0, 2460049.0, 50)
        mag, err = 18.0 + 0.1 * np.sin(jd), np.full(50, 0.1)
        kind, n_points = np.array([1], dtype=np.uint8), np.array([50])
        found = self.score(np.array([0, 50]), jd, mag, err, kind)
        for survey in (*self.calibrations, ""):
            self.p_values(survey, kind, n_points, found)

    def share_memo(self, shelf: Shelf) -> None:
        """Keep period blocks where other workers and the next start find them."""
        self._memo = PeriodMemo(shelf)

    def score(self, offsets: Int64, jd: Float64, mag: Float64, err: Float64, kind: UInt8) -> Scores:
        """Score B ragged curves; a row with a value that is not finite gets a NaN score."""
        if len(offsets) - 1 != len(kind):
            raise ValueError("offsets and kind disagree about the number of curves")
        raw = self.inputs(offsets, jd, mag, err)
        found = self.detect(raw)
        embedding = raw.views[PREDICTED].astype(np.float32)
        # Missing features are normal; a value that is not finite reaches the embedding.
        finite = np.asarray(np.isfinite(embedding).all(axis=1) & (raw.n_points > 0))
        return Scores(
            score=np.where(finite, found.score, np.nan),
            s1=found.s1,
            s_input=found.s_input,
            nearest=found.nearest,
            second=found.second,
            distances=found.distances,
            top_inputs=found.top_inputs,
            top_values=found.top_values,
            top_typical=found.top_typical,
            top_z=found.top_z,
            neighbours=found.neighbours,
            neighbour_distances=found.neighbour_distances,
            embedding=embedding,
        )

    def inputs(self, offsets: Int64, jd: Float64, mag: Float64, err: Float64) -> RawViews:
        """What the heads see of B ragged curves."""
        return raw_views(self._embedder, offsets, jd, mag, err, self._memo)

    def detect(self, raw: RawViews) -> Detection:
        """The heads alone."""
        return self._detector(raw)

    def p_values(self, survey: str, kind: UInt8, n_points: Int64, scores: Scored) -> PValues:
        """p-values for a survey; provisional ones where it has no calibration."""
        return p_values(
            self.calibrations.get(survey), self._provisional, kind, n_points, scores.score,
            scores.s_input, scores.nearest,
        )  # fmt: skip


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted
