"""What the loop asks of a model."""

from collections.abc import Sequence
from typing import Protocol

from worker.types.arrays import Bool, Float32, Float64, Int32, Int64, UInt8


class Scores(Protocol):
    """What a model says about B windows; larger means more anomalous."""

    @property
    def score(self) -> Float64:
        """Ranking score (B,), a fusion of channels."""

    @property
    def s1(self) -> Float64:
        """MCDSVDD's squared distance to the nearest centre (B,)."""

    @property
    def s_input(self) -> Float64:
        """Input-space alarm (B,)."""

    @property
    def nearest(self) -> Int32:
        """Index into the model's classes (B,)."""

    @property
    def second(self) -> Int32:
        """Second nearest class (B,)."""

    @property
    def distances(self) -> Float64:
        """Squared distance to every centre (B, K)."""

    @property
    def top_inputs(self) -> Int32:
        """The most deviating inputs (B, 3), indices into the model's input names."""

    @property
    def top_values(self) -> Float64:
        """Their values (B, 3)."""

    @property
    def top_typical(self) -> Float64:
        """Their typical values (B, 3)."""

    @property
    def top_z(self) -> Float64:
        """Their deviation in robust standard deviations (B, 3)."""

    @property
    def neighbours(self) -> Int32:
        """Classes of the nearest training objects (B, M)."""

    @property
    def neighbour_distances(self) -> Float64:
        """Their distances (B, M)."""

    @property
    def embedding(self) -> Float32:
        """Encoder output (B, D)."""


class PValues(Protocol):
    """Conformal p-values of B scores; NaN where they do not exist."""

    @property
    def p(self) -> Float64:
        """Given the number of points (B,); NaN when uncalibrated."""

    @property
    def p_class(self) -> Float64:
        """Given nearest class and number of points (B,)."""

    @property
    def p_input(self) -> Float64:
        """Of the input-space alarm (B,)."""

    @property
    def p_provisional(self) -> Float64:
        """Against the artefact's own held-out inliers (B,); NaN when calibrated."""

    @property
    def extrapolated(self) -> Bool:
        """p lies beyond the resolution of the set (B,)."""

    @property
    def n_cal(self) -> Int32:
        """Objects in the bin that was used (B,)."""

    @property
    def calibration_sha256(self) -> Sequence[str | None]:
        """Which calibration, per row; None when uncalibrated."""


class Scorer(Protocol):
    """A model behind one call: curves in, scores and p-values out. NumPy on both sides."""

    @property
    def name(self) -> str:
        """Artefact name."""

    @property
    def version(self) -> str:
        """Artefact version."""

    @property
    def sha256(self) -> str:
        """Digest of the artefact's SHA256SUMS."""

    @property
    def classes(self) -> Sequence[str]:
        """Names of the K inlier classes."""

    @property
    def input_names(self) -> Sequence[str]:
        """Names of the model's inputs."""

    @property
    def window(self) -> int:
        """Points that enter the encoder; older ones are cut."""

    def is_calibrated(self, survey: str) -> bool:
        """Whether there is a calibration for a survey."""

    def warm_up(self) -> None:
        """Run every shape once, so that no stream alert pays for it."""

    def score(self, offsets: Int64, jd: Float64, mag: Float64, err: Float64, kind: UInt8) -> Scores:
        """Score B ragged curves (see WindowBatch)."""

    def p_values(self, survey: str, kind: UInt8, n_points: Int64, scores: Scores) -> PValues:
        """Calibrate scores for a survey; uncalibrated surveys get provisional p-values."""
