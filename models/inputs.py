"""From curves to the heads' input vector: embedding and side features, standardised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.engine import Embedder
from models.features import SIDE_NAMES, side_features

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

CLIP = 5.0
"""Inputs are clipped to this many robust standard deviations."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """Medians and robust standard deviations of the training inliers (D,), frozen."""

    median: Float64
    spread: Float64

    @classmethod
    def of(cls, raw: Float64) -> "Scaling":
        """From raw inputs (N, D); NaN stands for missing."""
        median = np.nanmedian(raw, axis=0)
        spread = 1.4826 * np.nanmedian(np.abs(raw - median), axis=0)
        return cls(median, np.where(spread > 1e-9, spread, 1.0))

    def apply(self, raw: Float64) -> Float32:
        """Standardised inputs (N, D), clipped, missing = 0 (the median)."""
        scaled = np.clip((raw - self.median) / self.spread, -CLIP, CLIP)
        return np.nan_to_num(scaled, nan=0.0).astype(np.float32)

    def tensors(self) -> dict[str, torch.Tensor]:
        """For the artefact."""
        return {
            "scaling.median": torch.from_numpy(self.median.copy()),
            "scaling.spread": torch.from_numpy(self.spread.copy()),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> "Scaling":
        """From the artefact."""
        return cls(
            tensors["scaling.median"].double().numpy(), tensors["scaling.spread"].double().numpy()
        )


def input_names(embedding_names: Sequence[str]) -> list[str]:
    """Names of the heads' inputs, in order."""
    return [*(f"predicted_{name}" for name in embedding_names), *SIDE_NAMES]


def raw_inputs(
    embedder: Embedder, offsets: Int64, jd: Float64, mag: Float64, err: Float64
) -> tuple[Float64, Float32]:
    """Raw inputs (B, D) and the embedding in them (B, E)."""
    embedding = embedder.embed(offsets, jd, mag, err)
    side = side_features(offsets, jd, mag, err)
    return np.concatenate([embedding.astype(np.float64), side], axis=1), embedding
