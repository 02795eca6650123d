"""The trained part behind the encoder: views in, one score with its reasons out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.fusion import Fusion
from models.heads import ViewHeads, ViewOutput
from models.inputs import MEASURED, MEASURED_NAMES, PREDICTED, RawViews
from models.mcdsvdd import HeadConfig

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

REASONS = 3
VIEWS = (MEASURED, PREDICTED)


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
    """Heads of every view and the fusion of their channels."""

    def __init__(
        self, classes: Sequence[str], config: Mapping[str, HeadConfig],
        heads: Mapping[str, ViewHeads], fusion: Fusion,
    ) -> None:  # fmt: skip
        self.classes, self.config, self.heads, self.fusion = list(classes), config, heads, fusion

    def __call__(self, raw: RawViews) -> Detection:
        """Score N curves."""
        outputs = {name: heads(raw.views[name]) for name, heads in self.heads.items()}
        channels = np.concatenate([o.channels for o in outputs.values()], axis=1)
        measured = outputs[MEASURED]
        order = np.argsort(measured.distances, axis=1, kind="stable").astype(np.int32)
        top = np.argsort(-np.abs(measured.x), axis=1, kind="stable")[:, :REASONS].astype(np.int32)
        values = np.take_along_axis(raw.views[MEASURED], top, axis=1)
        return Detection(
            score=self.fusion(channels, raw.n_points),
            s1=measured.distances.min(axis=1, initial=np.inf),
            s_input=self.heads[MEASURED].input_distance(measured.x),
            nearest=order[:, 0],
            second=order[:, min(1, order.shape[1] - 1)],
            distances=measured.distances,
            top_inputs=top,
            top_values=np.nan_to_num(values),
            top_typical=self.heads[MEASURED].scaling.median[top],
            top_z=np.take_along_axis(measured.x, top, axis=1).astype(np.float64),
            neighbours=measured.neighbours,
            neighbour_distances=measured.neighbour_distances,
            by_view=outputs,
        )

    def fusion_of(self, view: str) -> Fusion:
        """The fusion of one view's channels alone: what the other views add is measured so."""
        start = 0
        for name, heads in self.heads.items():
            if name == view:
                return self.fusion.of_columns(start, start + heads.channels)
            start += heads.channels
        raise KeyError(view)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs that reasons point to."""
        return list(MEASURED_NAMES)

    def record(self) -> dict[str, Any]:
        """For config.json."""
        return {
            name: {**asdict(config), "seeds": len(self.heads[name].svdd)}
            for name, config in self.config.items()
        }

    def tensors(self) -> dict[str, Tensor]:
        """For the artefact."""
        found = {f"{name}.{key}": tensor for name, heads in self.heads.items()
                 for key, tensor in heads.tensors().items()}  # fmt: skip
        return {**found, **self.fusion.tensors()}

    @classmethod
    def from_tensors(
        cls, classes: Sequence[str], record: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> "Detector":
        """From the artefact; WeightsError, KeyError or TypeError when something does not fit."""
        configs, heads = {}, {}
        for name, found in record.items():
            fields = {k: v for k, v in found.items() if k != "seeds"}
            configs[name] = HeadConfig(**{**fields, "widths": tuple(fields["widths"])})
            mine = {k.removeprefix(f"{name}."): v for k, v in tensors.items()
                    if k.startswith(f"{name}.")}  # fmt: skip
            heads[name] = ViewHeads.from_tensors(configs[name], int(found["seeds"]), mine)
        return cls(classes, configs, heads, Fusion.from_tensors(tensors))
