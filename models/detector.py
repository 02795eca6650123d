"""The trained part behind the encoder: views in, one score with its reasons out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.fusion import Fusion
from models.heads import ViewOutput, log_distance
from models.inputs import MEASURED, MEASURED_NAMES, RawViews
from models.stages import StagedHeads

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

REASONS = 3


@dataclass(frozen=True, slots=True)
class Detection:
    """Per row: ranking score, channels and reasons; larger is more anomalous.

    `s1`: MCDSVDD's squared distance to the nearest centre; `s_input`: mean distance to the
    nearest training inputs; `top_*` (B, 3): the inputs that deviate most, by index into
    MEASURED_NAMES.
    """

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
    by_view: Mapping[str, ViewOutput]


class Detector:
    """Heads of every view and the fusion of their channels.

    `inputs`: location and scale of the logarithm of `s_input`, a fusion of one channel.
    """

    def __init__(
        self, classes: Sequence[str], heads: Mapping[str, StagedHeads], fusion: Fusion,
        inputs: Fusion,
    ) -> None:  # fmt: skip
        self.classes, self.heads = list(classes), heads
        self._fusion, self._inputs = fusion, inputs

    def __call__(self, raw: RawViews) -> Detection:
        """Score N curves."""
        outputs = {name: heads(raw.views[name], raw.n_points) for name, heads in self.heads.items()}
        channels = np.concatenate([o.channels for o in outputs.values()], axis=1)
        measured = outputs[MEASURED]
        order = np.argsort(measured.distances, axis=1, kind="stable").astype(np.int32)
        top = np.argsort(-np.abs(measured.z), axis=1, kind="stable")[:, :REASONS].astype(np.int32)
        values = np.take_along_axis(raw.views[MEASURED], top, axis=1)
        return Detection(
            score=self._fusion(channels, raw.n_points) + self._excess(measured, raw.n_points),
            s1=measured.distances.min(axis=1, initial=np.inf),
            s_input=measured.input_distance,
            nearest=order[:, 0],
            second=order[:, min(1, order.shape[1] - 1)],
            distances=measured.distances,
            top_inputs=top,
            top_values=np.nan_to_num(values),
            top_typical=np.take_along_axis(measured.typical, top, axis=1),
            top_z=np.take_along_axis(measured.z, top, axis=1).astype(np.float64),
            neighbours=measured.neighbours,
            neighbour_distances=measured.neighbour_distances,
            by_view=outputs,
        )

    def score_of(self, view: str, output: ViewOutput, n_points: Int64) -> Float64:
        """The score (N,) by one view alone: what the other views add is measured so."""
        start = 0
        for name, heads in self.heads.items():
            stop = start + len(heads.channel_weight)
            if name == view:
                break
            start = stop
        score = self._fusion.of_columns(start, stop)(output.channels, n_points)
        return score + self._excess(output, n_points) if view == MEASURED else score

    def _excess(self, measured: ViewOutput, n_points: Int64) -> Float64:
        return self._inputs.excess(log_distance(measured.input_distance), n_points)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs that reasons point to."""
        return list(MEASURED_NAMES)

    def record(self) -> dict[str, Any]:
        """For config.json."""
        return {name: heads.record() for name, heads in self.heads.items()}

    def tensors(self) -> dict[str, Tensor]:
        """For the artefact."""
        found = {f"{name}.{key}": tensor for name, heads in self.heads.items()
                 for key, tensor in heads.tensors().items()}  # fmt: skip
        return {**found, **self._fusion.tensors("fusion"), **self._inputs.tensors("inputs")}

    @classmethod
    def from_tensors(
        cls, classes: Sequence[str], record: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> "Detector":
        """From the artefact; WeightsError, KeyError or TypeError when something does not fit."""
        heads = {}
        for name, found in record.items():
            mine = {k.removeprefix(f"{name}."): v for k, v in tensors.items()
                    if k.startswith(f"{name}.")}  # fmt: skip
            heads[name] = StagedHeads.from_tensors(found, mine)
        fusion, inputs = (Fusion.from_tensors(tensors, name) for name in ("fusion", "inputs"))
        return cls(classes, heads, fusion, inputs)
