"""Pretraining: from a random piece of a curve, predict properties of the whole curve.

The side and period features of the whole curve are targets; a piece is all that the encoder
sees. Masked reconstruction of the same budget taught nothing useful (specification: science,
section 5). Labels are not used.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.astromer import Astromer, AstromerConfig
from models.data import CurveSet, random_pieces
from models.features import PERIOD_NAMES, SIDE_NAMES, period_features, side_features
from models.weights import save_encoder
from models.windows import model_inputs, newest

log = logging.getLogger(__name__)

Float32 = NDArray[np.float32]
TARGET_NAMES = (*SIDE_NAMES, *PERIOD_NAMES)
CLIP = 4.0
"""Targets are clipped to this many robust standard deviations."""


@dataclass(frozen=True, slots=True)
class PretrainPlan:
    """How long and on what pieces. `points`: points of a batch; lengths in points."""

    steps: int = 5000
    seed: int = 0
    points: int = 12_000
    shortest: int = 5
    longest: int = 200
    learning_rate: float = 1e-3
    warm_up_steps: int = 200


def whole_curve_targets(curves: CurveSet) -> Float32:
    """Standardised properties of whole curves (N, targets); NaN where one is undefined."""
    arrays = (curves.offsets, curves.time, curves.mag, curves.err)
    period = period_features(*arrays)
    raw = np.concatenate([side_features(*arrays), period], axis=1)
    middle = np.nanmedian(raw, axis=0)
    spread = 1.4826 * np.nanmedian(np.abs(raw - middle), axis=0)
    scaled = np.clip((raw - middle) / np.maximum(spread, 1e-6), -CLIP, CLIP)
    return np.asarray(scaled, dtype=np.float32)


def pretrain(
    config: AstromerConfig,
    curves: CurveSet,
    plan: PretrainPlan,
    out: Path,
    report: Callable[[int, float, float], None],
) -> Astromer:
    """Train for `plan.steps` batches, write encoder and log to `out`.

    `report` is called now and then with step, share of the time used and mean loss.
    """
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    targets = whole_curve_targets(curves)
    draw = _draw_weights(curves)
    module = Astromer(config).train()
    optimiser = torch.optim.AdamW(module.parameters(), lr=plan.learning_rate, weight_decay=1e-2)
    losses: list[float] = []
    history = []
    for step in range(1, plan.steps + 1):
        used = step / plan.steps
        rate = plan.learning_rate * min(1.0, step / plan.warm_up_steps)
        for group in optimiser.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * used))
        loss = _loss(module, *_batch(rng, curves, targets, draw, plan, config))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        if step % 100 == 0:
            mean = float(np.mean(losses[-100:]))
            history.append((step, round(used, 4), round(mean, 5)))
            report(step, used, mean)
    save_encoder(module.eval(), out, _record(config, plan, curves, history))
    return module


def _batch(
    rng: np.random.Generator,
    curves: CurveSet,
    targets: Float32,
    draw: NDArray[np.float64],
    plan: PretrainPlan,
    config: AstromerConfig,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pieces of one common length range, padded: x, times, mask, targets."""
    longest = int(np.exp(rng.uniform(np.log(plan.shortest), np.log(plan.longest + 1))))
    rows = rng.choice(len(curves), max(8, min(1024, plan.points // longest)), p=draw)
    pieces = random_pieces(rng, curves.take(rows), max(plan.shortest, longest * 2 // 3), longest)
    index, offsets = newest(pieces.offsets, config.window)
    x, times = model_inputs(
        offsets, pieces.time[index], pieces.mag[index], pieces.err[index], config.channels
    )
    n = np.diff(offsets)
    visible = np.arange(n.max()) < n[:, None]
    padded = np.zeros((*visible.shape, x.shape[1]), dtype=np.float32)
    clock = np.zeros(visible.shape, dtype=np.float32)
    padded[visible], clock[visible] = x, times
    mask = 1.0 - visible.astype(np.float32)
    arrays = (padded, clock, mask, targets[rows])
    tensors = [torch.from_numpy(array) for array in arrays]
    return tensors[0], tensors[1], tensors[2], tensors[3]


def _loss(
    module: Astromer, x: torch.Tensor, times: torch.Tensor, mask: torch.Tensor, want: torch.Tensor
) -> torch.Tensor:
    """Smooth L1 over the targets that exist."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = module.summary(x, times, mask)
    known = ~torch.isnan(want)
    return torch.nn.functional.smooth_l1_loss(got.float()[known], want[known])


def _draw_weights(curves: CurveSet) -> NDArray[np.float64]:
    """Surveys are drawn with weight 1 / sqrt(size), so that the largest doesn't rule."""
    _, inverse, counts = np.unique(curves.survey, return_inverse=True, return_counts=True)
    weight = 1.0 / np.sqrt(counts[inverse])
    return np.asarray(weight / weight.sum())


def _record(
    config: AstromerConfig,
    plan: PretrainPlan,
    curves: CurveSet,
    history: list[tuple[int, float, float]],
) -> dict[str, Any]:
    surveys, counts = np.unique(curves.survey, return_counts=True)
    return {
        "encoder": asdict(config),
        "embedding_names": list(TARGET_NAMES),
        "training": {
            **asdict(plan),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "loss": history[:: max(1, len(history) // 40)],
        },
        "labels_seen": [],
        "curves_seen": dict(zip(surveys.tolist(), counts.tolist(), strict=True)),
    }
