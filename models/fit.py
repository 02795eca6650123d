"""Fits the heads on labelled curves and packs an artefact."""

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from models.artifact import CALIBRATION_PREFIX, HEADS_FILE, PROVISIONAL_FILE, write_sums
from models.calibration import SMALLEST_SET, save_calibration
from models.data import CurveSet, concatenate, part_of, random_pieces
from models.engine import Embedder
from models.heads import Heads
from models.inputs import Scaling, raw_inputs
from models.mcdsvdd import HeadConfig, TrainPlan, fit_classifier, fit_mcdsvdd
from models.scorer import Fusion, Scorer
from models.simulate import SURVEY, simulate_curves
from models.weights import ENCODER_FILE, load_encoder, read_record

log = logging.getLogger(__name__)

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

SMALLEST_CLASS = 30
"""Objects without which a class gets no centre (specification: mcdsvdd, section 11.3)."""

NOT_A_CLASS = frozenset({"", "VAR", "NONVAR"})
"""Labels that name no kind of object."""

PIECE_POINTS = (5, 120)
SEEDS = 2
REFERENCE_PER_CLASS = 300
CAP = 20.0
"""A class is drawn at most this many times more often than its share."""


class FitError(ValueError):
    """Training data that can't make a model."""


@dataclass(frozen=True, slots=True)
class FitPlan:
    """Identity and size of the artefact. `simulated`: training curves of the own simulator."""

    name: str
    version: str
    seed: int = 0
    pieces: int = 2
    simulated: int = 3500
    calibration: int = 10_000


def fit_artifact(encoder: Path, curves: CurveSet, plan: FitPlan, out: Path) -> dict[str, Any]:
    """Train heads and calibrate; writes an artefact to `out` and returns its record.

    Objects are split by id: `fit` trains, `val` stops the training, `cal` makes fusion and
    provisional p. Raises FitError when no class is large enough.
    """
    embedder = Embedder(load_encoder(encoder))
    labelled = concatenate([curves, simulate_curves(plan.seed + 1000, plan.simulated)])
    classes = usable_classes(labelled)
    rng = np.random.default_rng(plan.seed)
    parts = _parts(labelled, classes)
    sets = {name: _with_pieces(rng, part, plan.pieces) for name, part in parts.items()}
    raw = {name: _inputs(embedder, part) for name, part in sets.items()}
    y = {name: _labels(part, classes) for name, part in sets.items()}
    scaling = Scaling.of(raw["fit"])
    x = {name: scaling.apply(values) for name, values in raw.items()}
    heads = _fit_heads(rng, x, y, draw_weights(sets["fit"], classes), plan.seed)
    held_out = heads(x["cal"])
    fusion = Fusion.of(held_out.channels)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(encoder / ENCODER_FILE, out / ENCODER_FILE)
    tensors = {**heads.tensors(), **scaling.tensors(), **fusion.tensors()}
    save_file(tensors, out / HEADS_FILE)
    record = {
        **read_record(encoder),
        "name": plan.name,
        "version": plan.version,
        "classes": classes,
        "heads": {**asdict(heads.config), "seeds": SEEDS},
        "fit": {**asdict(plan), "curves": {k: len(v) for k, v in parts.items()}},
    }
    (out / "config.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    save_calibration(
        out / PROVISIONAL_FILE, "held-out", sets["cal"].apparent.astype(np.uint8),
        np.diff(sets["cal"].offsets), fusion(held_out.channels), held_out.s_input,
        held_out.nearest,
    )  # fmt: skip
    write_sums(out)
    calibrate_simulated(out, plan)
    return record


def calibrate_simulated(directory: Path, plan: FitPlan) -> None:
    """Add the calibration of the survey `simulated` from an ordinary night's fresh objects."""
    scorer = Scorer.load(directory)
    curves = ordinary_curves(plan.seed + 2000, plan.calibration)
    kind = curves.apparent.astype(np.uint8)
    scores = scorer.score(curves.offsets, curves.time, curves.mag, curves.err, kind)
    save_calibration(
        directory / f"{CALIBRATION_PREFIX}{SURVEY}.safetensors", SURVEY, kind,
        np.diff(curves.offsets), scores.score, scores.s_input, scores.nearest,
    )  # fmt: skip
    write_sums(directory)


def ordinary_curves(seed: int, count: int) -> CurveSet:
    """At least `count` curves by a night's shares, with enough of both magnitude kinds."""
    curves = simulate_curves(seed, count)
    while min(curves.apparent.sum(), (~curves.apparent).sum()) < SMALLEST_SET:
        seed += 1
        curves = concatenate([curves, simulate_curves(seed, count)])
    return curves


def usable_classes(curves: CurveSet) -> list[str]:
    """Groups with at least 30 objects, by name."""
    names, first = np.unique(curves.object_id, return_index=True)
    groups, counts = np.unique(curves.group[first], return_counts=True)
    usable = [
        str(g)
        for g, c in zip(groups, counts, strict=True)
        if c >= SMALLEST_CLASS and g not in NOT_A_CLASS
    ]
    if not usable:
        raise FitError(f"no class has {SMALLEST_CLASS} objects ({len(names)} objects in all)")
    return usable


def draw_weights(curves: CurveSet, classes: Sequence[str]) -> Float64:
    """Classes equally often (capped), surveys within a class by the root of their size."""
    weight = np.zeros(len(curves))
    largest = max(int((curves.group == name).sum()) for name in classes)
    for name in classes:
        rows = np.flatnonzero(curves.group == name)
        _, inverse, counts = np.unique(curves.survey[rows], return_inverse=True, return_counts=True)
        share = 1.0 / np.sqrt(counts[inverse])
        total = min(1.0, CAP * len(rows) / largest)
        weight[rows] = total * share / share.sum()
    return weight


def _parts(curves: CurveSet, classes: Sequence[str]) -> dict[str, CurveSet]:
    part = np.array([part_of(name) for name in curves.object_id])
    known = np.isin(curves.group, classes)
    return {n: curves.take(np.flatnonzero(known & (part == n))) for n in ("fit", "val", "cal")}


def _with_pieces(rng: np.random.Generator, curves: CurveSet, count: int) -> CurveSet:
    """The curves and `count` random pieces of each: the stream sees every length."""
    return concatenate([curves, *(random_pieces(rng, curves, *PIECE_POINTS) for _ in range(count))])


def _inputs(embedder: Embedder, curves: CurveSet) -> Float64:
    return raw_inputs(embedder, curves.offsets, curves.time, curves.mag, curves.err)[0]


def _labels(curves: CurveSet, classes: Sequence[str]) -> Int64:
    index = {name: number for number, name in enumerate(classes)}
    return np.array([index[str(group)] for group in curves.group], dtype=np.int64)


def _fit_heads(
    rng: np.random.Generator, x: dict[str, Any], y: dict[str, Int64], weight: Float64, seed: int
) -> Heads:
    config = HeadConfig(inputs=x["fit"].shape[1])
    fit_x, fit_y, val_x, val_y = (
        torch.from_numpy(table[part]) for part in ("fit", "val") for table in (x, y)
    )
    svdd, centres, classifiers = [], [], []
    for number in range(SEEDS):
        plan = TrainPlan(seed=seed + number)
        body, centre = fit_mcdsvdd(fit_x, fit_y, weight, val_x, val_y, config, plan)
        svdd.append(body)
        centres.append(centre)
        classifiers.append(fit_classifier(fit_x, fit_y, weight, val_x, val_y, config, plan))
        log.info("heads of seed %d fitted", plan.seed)
    rows = _reference_rows(rng, y["fit"], weight)
    return Heads(config, svdd, centres, classifiers, fit_x[rows], fit_y[rows])


def _reference_rows(rng: np.random.Generator, y: Int64, weight: Float64) -> Int64:
    """Training rows that neighbours are looked for in, at most 300 per class."""
    chosen = []
    for label in np.unique(y).tolist():
        rows = np.flatnonzero((y == label) & (weight > 0))
        share = weight[rows] / weight[rows].sum()
        size = min(REFERENCE_PER_CLASS, len(rows))
        chosen.append(rng.choice(rows, size, replace=False, p=share))
    return np.sort(np.concatenate(chosen))
