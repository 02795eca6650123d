"""Fuses channels: each is centred and scaled by unseen inliers of the same length, then averaged.

A channel's distances shrink as a curve grows; without the scaling by length the channels of
short curves would outweigh all else. Scores are fused, never inputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

NODES = np.log(np.array([5.0, 10.0, 20.0, 39.0, 40.0, 60.0, 100.0, 200.0]))
"""Logarithms of the lengths at which location and scale are known; linear between.

39 and 40 keep apart what is scored without and with a period.
"""

INPUT_SHARE, INPUT_FROM = 0.2, 1.0
"""How much the distance between inputs adds to the score, and beyond how many deviations.

What lies far outside of all inputs can be ordinary to a latent; what lies among them tells less
than the latents do.
"""

SMALLEST_NODE = 50
"""Inliers around a node without which it takes the values of all."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """`median`, `spread`: (nodes, C) of unseen inliers; `weight` (nodes, C), rows sum to 1."""

    median: Float64
    spread: Float64
    weight: Float64

    @classmethod
    def of(cls, channels: Float64, n_points: Int64, weight: Float64) -> "Fusion":
        """From the channels (N, C) of inliers that no head was trained on."""
        place = np.log(np.maximum(n_points, 1))
        closest = np.abs(place[:, None] - NODES).argmin(axis=1)
        median, spread = [], []
        for node in range(len(NODES)):
            mine = closest == node
            rows = channels[mine] if mine.sum() >= SMALLEST_NODE else channels
            middle = np.median(rows, axis=0)
            median.append(middle)
            spread.append(1.4826 * np.median(np.abs(rows - middle), axis=0))
        return cls(np.stack(median), np.maximum(np.stack(spread), 1e-3), weight)

    def __call__(self, channels: Float64, n_points: Int64) -> Float64:
        """The ranking score (B,)."""
        place = np.log(np.maximum(n_points, 1))
        z = (channels - _between(place, self.median)) / _between(place, self.spread)
        return np.asarray((z * _between(place, self.weight)).sum(axis=1))

    def excess(self, channel: Float64, n_points: Int64) -> Float64:
        """What a single channel (B,) adds to the score where it is large."""
        return INPUT_SHARE * np.maximum(self(channel[:, None], n_points) - INPUT_FROM, 0.0)

    def of_columns(self, start: int, stop: int) -> "Fusion":
        """The fusion of these channels alone."""
        weight = self.weight[:, start:stop]
        return Fusion(
            self.median[:, start:stop],
            self.spread[:, start:stop],
            weight / weight.sum(axis=1, keepdims=True),
        )

    def tensors(self, prefix: str) -> dict[str, torch.Tensor]:
        """For the artefact."""
        return {
            f"{prefix}.{name}": torch.from_numpy(np.array(getattr(self, name)))
            for name in ("median", "spread", "weight")
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor], prefix: str) -> "Fusion":
        """From the artefact."""
        return cls(*(tensors[f"{prefix}.{name}"].double().numpy()
                     for name in ("median", "spread", "weight")))  # fmt: skip


def channel_weights(shares: Sequence[tuple[Float64, Float64]]) -> Float64:
    """Weights (nodes, C) of groups of channels: share per node, weights within the group."""
    weight = np.concatenate([share[:, None] * within for share, within in shares], axis=1)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _between(place: Float64, table: Float64) -> Float64:
    """Rows of a table (nodes, C) at these places, linear between nodes, constant beyond."""
    upper = np.clip(np.searchsorted(NODES, place), 1, len(NODES) - 1)
    share = np.clip((place - NODES[upper - 1]) / (NODES[upper] - NODES[upper - 1]), 0, 1)[:, None]
    return np.asarray((1 - share) * table[upper - 1] + share * table[upper])
