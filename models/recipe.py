"""The recipe: how a detector is trained. The packaged artefact and the evaluation both use it.

Per view, MCDSVDD and classifier bodies of several seeds; every epoch draws whole curves and
random short pieces; classes are merged by group and drawn equally often (capped).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from models.data import CurveSet, random_pieces
from models.detector import Detector
from models.engine import Embedder
from models.features import SHORTEST
from models.fusion import NODES, Fusion, channel_weights
from models.heads import ViewHeads, log_distance
from models.inputs import MEASURED, PREDICTED, RIVAL, RawViews, views_of
from models.mcdsvdd import (
    Body,
    HeadConfig,
    TrainingRows,
    TrainPlan,
    fit_autoencoder,
    fit_classifier,
    fit_mcdsvdd,
)
from models.scaling import AnyScaling, BlendedScaling, Scaling
from models.stages import StagedHeads, stage_of

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

PIECE_POINTS = (5, 120)
CAP = 20.0
"""A class is drawn at most this many times more often than its share."""

REFERENCE_ROWS = 1800
"""Training objects that neighbours are looked for among, over all classes."""

SMALLEST_CLASS = 30
"""Training rows of a class; where a stage has fewer, those of all lengths train it."""


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """How the heads of a view are trained; see StagedHeads. `density`: of each stage."""

    scaling: type[AnyScaling]
    edges: tuple[int, ...]
    density: tuple[float, ...]
    inputs: bool


MEASURED_PLAN = ViewPlan(BlendedScaling, (SHORTEST,), (0.0, 0.25), inputs=True)
"""Features know the period from 40 points on; only there do loose classes need their own scale."""

ENCODER_PLAN = ViewPlan(Scaling, (), (0.0,), inputs=False)


@dataclass(frozen=True, slots=True)
class Recipe:
    """`seeds`: bodies of each kind per view. `pieces`: short pieces per curve in the pool.

    `predicted_share` (nodes,): weight of the predicted view at fusion's lengths.
    """

    seeds: int = 2
    pieces: int = 2
    widths: tuple[int, ...] = (128, 64)
    latent: int = 16
    plan: TrainPlan = field(default_factory=lambda: TrainPlan(draws=8192, epochs=160, patience=30))
    predicted_share: tuple[float, ...] = (0.5, 0.5, 0.5, 0.5, 0.5, 0.4, 0.2, 0.2)


@dataclass(frozen=True, slots=True)
class LabelledViews:
    """Views of N curves, their class (N,) by index and how often each is drawn (N,)."""

    raw: RawViews
    y: Int64
    weight: Float64


def training_passes(curves: CurveSet, recipe: Recipe, seed: int) -> list[CurveSet]:
    """The whole curves, and random pieces of each: one entry per pass over the curves."""
    rng = np.random.default_rng(seed)
    return [curves, *(random_pieces(rng, curves, *PIECE_POINTS) for _ in range(recipe.pieces))]


def training_views(
    embedder: Embedder | None, curves: CurveSet, recipe: Recipe, seed: int
) -> list[RawViews]:
    """Views of every pass."""
    return [views_of(embedder, part) for part in training_passes(curves, recipe, seed)]


def fit_detector(
    fit: LabelledViews, val: LabelledViews, classes: Sequence[str], recipe: Recipe, seed: int
) -> Detector:
    """Train heads on `fit`, stop and fuse by `val`; the same seed gives the same detector."""
    heads = {name: _fit_view(name, fit, val, recipe, seed) for name in fit.raw.views
             if name != RIVAL}  # fmt: skip
    shares = [(_share(name, fit.raw.views, recipe), found.channel_weight)
              for name, found in heads.items()]  # fmt: skip
    n = val.raw.n_points
    outputs = {name: found(val.raw.views[name], n) for name, found in heads.items()}
    channels = np.concatenate([found.channels for found in outputs.values()], axis=1)
    away = log_distance(outputs[MEASURED].input_distance)[:, None]
    return Detector(
        classes, heads, Fusion.of(channels, n, channel_weights(shares)),
        Fusion.of(away, n, np.ones((len(NODES), 1))),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Alone:
    """Heads and fusion of one view."""

    view: str
    heads: StagedHeads
    fusion: Fusion

    def __call__(self, raw: RawViews) -> tuple[Float64, Float64]:
        """MCDSVDD's distance s1 and the fused score, each (N,)."""
        found = self.heads(raw.views[self.view], raw.n_points)
        return found.distances.min(axis=1), self.fusion(found.channels, raw.n_points)


def fit_alone(
    view: str, fit: LabelledViews, val: LabelledViews, recipe: Recipe, seed: int
) -> Alone:
    """Heads on one view by itself: what an encoder is worth alone."""
    heads = _fit_view(view, fit, val, recipe, seed)
    channels = heads(val.raw.views[view], val.raw.n_points).channels
    weight = channel_weights([(np.ones(len(NODES)), heads.channel_weight)])
    return Alone(view, heads, Fusion.of(channels, val.raw.n_points, weight))


def _share(name: str, views: Mapping[str, Float64], recipe: Recipe) -> Float64:
    if PREDICTED not in views or MEASURED not in views:
        return np.ones(len(NODES))
    share = np.array(recipe.predicted_share)
    return share if name == PREDICTED else 1.0 - share


def _fit_view(
    name: str, fit: LabelledViews, val: LabelledViews, recipe: Recipe, seed: int
) -> StagedHeads:
    plan = MEASURED_PLAN if name == MEASURED else ENCODER_PLAN
    config = HeadConfig(fit.raw.views[name].shape[1], recipe.widths, recipe.latent)
    stages = []
    for stage, density in enumerate(plan.density):
        parts = [_of_stage(part, fit, plan.edges, stage) for part in (fit, val)]
        scaling = plan.scaling.of(parts[0].raw.views[name])
        stages.append(_fit_stage(name, parts, scaling, density, config, recipe, seed))
    return StagedHeads(config, plan.edges, stages, plan.inputs)


def _of_stage(
    part: LabelledViews, fit: LabelledViews, edges: Sequence[int], stage: int
) -> LabelledViews:
    """Rows of this length; of a class with few such training rows all that there are."""
    fit_inside, inside = (stage_of(edges, p.raw.n_points) == stage for p in (fit, part))
    count = np.bincount(fit.y[fit_inside & (fit.weight > 0)], minlength=int(fit.y.max()) + 1)
    rows = np.flatnonzero(inside | (count < SMALLEST_CLASS)[part.y])
    return LabelledViews(part.raw.take(rows), part.y[rows], part.weight[rows])


def _fit_stage(
    name: str, parts: Sequence[LabelledViews], scaling: AnyScaling, density: float,
    config: HeadConfig, recipe: Recipe, seed: int,
) -> ViewHeads:  # fmt: skip
    fit, val = parts
    x, x_val = (torch.from_numpy(scaling.apply(part.raw.views[name])) for part in (fit, val))
    rows = TrainingRows(x, torch.from_numpy(fit.y), fit.weight, x_val, torch.from_numpy(val.y))
    chosen = reference_rows(np.random.default_rng(seed), fit)
    svdd: list[Body] = []
    classifiers: list[Body] = []
    centres = None
    for number in range(recipe.seeds):
        plan = recipe.plan.with_seed(1000 * seed + number)
        body, found = fit_mcdsvdd(rows, config, plan, fit_autoencoder(rows, config, plan))
        centres = found if centres is None else centres
        svdd.append(body)
        classifiers.append(fit_classifier(rows, config, plan)[0])
    assert centres is not None
    return ViewHeads(scaling, svdd, classifiers, centres, rows.x[chosen], rows.y[chosen], density)


def reference_rows(rng: np.random.Generator, fit: LabelledViews) -> Int64:
    """Rows that neighbours are looked for among: as many of each class."""
    labels = np.unique(fit.y)
    chosen = []
    for label in labels.tolist():
        rows = np.flatnonzero((fit.y == label) & (fit.weight > 0))
        share = fit.weight[rows] / fit.weight[rows].sum()
        size = min(REFERENCE_ROWS // len(labels), len(rows))
        chosen.append(rng.choice(rows, size, replace=False, p=share))
    return np.sort(np.concatenate(chosen))


def draw_weights(group: NDArray[np.str_], survey: NDArray[np.str_]) -> Float64:
    """Classes equally often (capped), surveys within a class by the root of their size."""
    weight = np.zeros(len(group))
    names, sizes = np.unique(group, return_counts=True)
    for name, size in zip(names, sizes.tolist(), strict=True):
        rows = np.flatnonzero(group == name)
        _, inverse, counts = np.unique(survey[rows], return_inverse=True, return_counts=True)
        share = 1.0 / np.sqrt(counts[inverse])
        weight[rows] = min(1.0, CAP * size / sizes.max()) * share / share.sum()
    return weight


def labelled(passes: Sequence[RawViews], rows: Int64, y: Int64, weight: Float64) -> LabelledViews:
    """These rows of every pass; `y`, `weight` (N,) of the curves.

    Whole curves are drawn as often as all their pieces together.
    """
    pieces = len(passes) - 1
    raw = [part.take(rows) for part in passes]
    factors = [float(max(pieces, 1)), *([1.0] * pieces)]
    joined = RawViews(
        {k: np.concatenate([p.views[k] for p in raw]) for k in raw[0].views},
        np.concatenate([p.n_points for p in raw]),
    )
    return LabelledViews(
        joined,
        np.tile(y[rows], len(passes)),
        np.concatenate([factor * weight[rows] for factor in factors]),
    )
