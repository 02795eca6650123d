"""What each choice of the encoder's recipe is worth: one small training and one probe per row."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.astromer import AstromerConfig
from models.data import CurveSet, concatenate
from models.engine import Embedder
from models.pretrain import PretrainPlan, pretrain
from models.simulate import simulate_curves
from models.tasks import TARGET_NAMES, whole_curve_properties
from models.weights import load_encoder

log = logging.getLogger(__name__)

Float64 = NDArray[np.float64]

RECIPE = AstromerConfig(
    layers=3, width=96, heads=4, hidden=192, positions="log", channels="mag_error",
    pooling="mean_max", targets=len(TARGET_NAMES),
)  # fmt: skip
"""The packaged encoder's architecture."""

SIMULATED = 4000


@dataclass(frozen=True, slots=True)
class Row:
    """How a row differs from the recipe: architecture, training, data."""

    config: Mapping[str, Any]
    plan: Mapping[str, Any]
    simulated: int = SIMULATED


ROWS: Mapping[str, Row] = {
    "recipe": Row({}, {}),
    "positions astromer": Row({"positions": "astromer"}, {}),
    "channels mag": Row({"channels": "mag"}, {}),
    "pooling mean": Row({"pooling": "mean"}, {}),
    "task hidden": Row({"targets": 0}, {"task": "hidden"}),
    "task masked": Row({"targets": 0}, {"task": "masked"}),
    "simulated 0": Row({}, {}, 0),
    "whole windows": Row({}, {"shortest": 200}),
    "width 48": Row({"width": 48, "hidden": 96}, {}),
    "layers 1": Row({"layers": 1}, {}),
    "layers 5": Row({"layers": 5}, {}),
    "untrained": Row({}, {"steps": 0}),
}


class Ablation:
    """Trains rows on the same curves; the targets of whole curves are computed once."""

    def __init__(self, curves: CurveSet, plan: PretrainPlan) -> None:
        """`curves`: real ones of the parts that may be trained on, without their labels."""
        self._plan, self._real = plan, len(curves)
        self._curves = concatenate([curves, simulate_curves(plan.seed + 11, SIMULATED)])
        self._properties: Float64 | None = None

    def train(self, row: Row, out: Path) -> Embedder:
        """The row's encoder."""
        used = np.arange(self._real + row.simulated)
        plan = replace(self._plan, **row.plan)
        config = replace(RECIPE, **row.config)
        pretrain(config, self._curves.take(used), plan, out, _quiet,
                 properties=self._known(used) if config.targets else None)  # fmt: skip
        return Embedder(load_encoder(out))

    def _known(self, used: NDArray[np.int64]) -> Float64:
        if self._properties is None:
            self._properties = whole_curve_properties(self._curves)
            log.info("targets of %d curves are ready", len(self._curves))
        return self._properties[used]


def named(rows: Sequence[str]) -> dict[str, Row]:
    """These rows, all without a name; ValueError for one that is unknown."""
    unknown = set(rows) - set(ROWS)
    if unknown:
        raise ValueError(f"no such rows: {sorted(unknown)}; there are {', '.join(ROWS)}")
    return {name: ROWS[name] for name in rows or ROWS}


def _quiet(step: int, loss: float) -> None:
    if step % 100 == 0:
        log.info("step %d, loss %.4f", step, loss)
