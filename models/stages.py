"""Heads of one view by the length of the curve: what a short curve lacks disturbs no long one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.heads import ViewHeads, ViewOutput
from models.mcdsvdd import HeadConfig

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StagedHeads:
    """Heads of a view: one more stage than `edges`, the numbers of points where stages begin.

    `inputs`: whether distances between inputs are of interest.
    """

    config: HeadConfig
    edges: tuple[int, ...]
    stages: Sequence[ViewHeads]
    inputs: bool

    @property
    def channel_weight(self) -> Float64:
        """Weight of each score channel (C,)."""
        return self.stages[0].channel_weight

    def stage_of(self, n_points: Int64) -> Int64:
        """Index of the stage (B,) of curves with so many points."""
        return stage_of(self.edges, n_points)

    def __call__(self, raw: Float64, n_points: Int64) -> ViewOutput:
        """Score raw inputs (B, D) of curves with `n_points` (B,)."""
        stage = self.stage_of(n_points)
        present = np.unique(stage).tolist() or [0]
        rows = [np.flatnonzero(stage == number) for number in present]
        found: list[ViewOutput] = [self.stages[number](raw[mine], inputs=self.inputs)
                 for number, mine in zip(present, rows, strict=True)]  # fmt: skip
        if len(found) == 1:
            return found[0]
        order = np.argsort(np.concatenate(rows))
        columns = {field.name: [getattr(part, field.name) for part in found]
                   for field in fields(ViewOutput)}  # fmt: skip
        return ViewOutput(**{name: np.concatenate(v)[order] for name, v in columns.items()})

    def record(self) -> dict[str, Any]:
        """For config.json."""
        return {
            **asdict(self.config),
            "seeds": len(self.stages[0].svdd),
            "edges": list(self.edges),
            "input_distance": self.inputs,
        }

    def tensors(self) -> dict[str, Tensor]:
        """For the artefact."""
        return {f"{number}.{name}": tensor for number, heads in enumerate(self.stages)
                for name, tensor in heads.tensors().items()}  # fmt: skip

    @classmethod
    def from_tensors(cls, record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """From the artefact; WeightsError, KeyError or TypeError when something does not fit."""
        own = {"seeds", "edges", "input_distance"}
        given = {name: value for name, value in record.items() if name not in own}
        config = HeadConfig(**{**given, "widths": tuple(given["widths"])})
        edges, seeds = tuple(record["edges"]), int(record["seeds"])
        stages = []
        for number in range(len(edges) + 1):
            prefix = f"{number}."
            mine = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            stages.append(ViewHeads.from_tensors(config, seeds, mine))
        return cls(config, edges, stages, bool(record["input_distance"]))


def stage_of(edges: Sequence[int], n_points: Int64) -> Int64:
    """Index of the stage (B,) of curves with so many points (B,)."""
    return np.searchsorted(edges, n_points, side="right").astype(np.int64)
