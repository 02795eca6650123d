"""Fits the heads on labelled curves and packs an artefact."""

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.artifact import CALIBRATION_PREFIX, HEADS_FILE, PROVISIONAL_FILE, write_sums
from models.calibration import SMALLEST_SET, save_calibration
from models.card import CARD, card_text
from models.data import CurveSet, concatenate, part_of, random_pieces
from models.engine import Embedder
from models.features import SHORTEST
from models.grown import NOT_A_CLASS
from models.inputs import views_of
from models.recipe import (
    PIECE_POINTS,
    LabelledViews,
    Recipe,
    draw_weights,
    fit_detector,
    labelled,
    training_views,
)
from models.sanity import FitError, check_detector
from models.scorer import Scorer
from models.simulate import SURVEY, simulate_curves
from models.weights import ENCODER_FILE, load_encoder, read_record, write_tensors

log = logging.getLogger(__name__)

Int64 = NDArray[np.int64]

SMALLEST_CLASS = 30
"""Objects without which a class gets no centre (specification: mcdsvdd, section 11.3)."""


FEW_REAL = ("AGN", "DSCT", "ROT")
"""Kinds that are seen for years and of which the labelled surveys have few curves."""


@dataclass(frozen=True, slots=True)
class FitPlan:
    """Identity and size of the artefact.

    `simulated`: training curves of the own simulator by a night's shares, and 0.15 times as many
    with a period block of the kinds that have few real ones. `largest_class`: training curves
    per class at most, drawn evenly over surveys.
    """

    name: str
    version: str
    seed: int = 0
    simulated: int = 7000
    calibration: int = 10_000
    largest_class: int = 1500
    recipe: Recipe = field(default_factory=Recipe)


def fit_artifact(encoder: Path, curves: CurveSet, plan: FitPlan, out: Path) -> dict[str, Any]:
    """Train heads and calibrate; writes an artefact to `out` and returns its record.

    Objects are split by id: `fit` trains, `val` stops the training and scales the channels,
    `cal` makes the provisional p. Raises FitError when no class is large enough or a sanity
    check fails.
    """
    embedder = Embedder(load_encoder(encoder))
    known = concatenate([curves, *_simulated(plan)])
    classes = usable_classes(known)
    parts = _parts(known, classes, plan)
    fit, val = (_labelled(embedder, parts[n], classes, plan) for n in ("fit", "val"))
    log.info("inputs of %d training rows are ready", len(fit.y))
    detector = fit_detector(fit, val, classes, plan.recipe, plan.seed)
    checks = check_detector(detector, val)
    held_out = _with_piece(parts["cal"], plan.seed)
    raw = views_of(embedder, held_out)
    found = detector(raw)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(encoder / ENCODER_FILE, out / ENCODER_FILE)
    write_tensors(out / HEADS_FILE, detector.tensors())
    record = {
        **read_record(encoder),
        "name": plan.name,
        "version": plan.version,
        "classes": classes,
        "heads": detector.record(),
        "input_names": detector.input_names,
        "fit": {**asdict(plan), "curves": {k: len(v) for k, v in parts.items()}},
        "checks": checks,
    }
    (out / "config.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (out / CARD).write_text(card_text(record), encoding="utf-8")
    save_calibration(
        out / PROVISIONAL_FILE, "held-out", held_out.apparent.astype(np.uint8), raw.n_points,
        found.score, found.s_input, found.nearest,
    )  # fmt: skip
    write_sums(out)
    calibrate_simulated(out, plan)
    return record


def _simulated(plan: FitPlan) -> Iterator[CurveSet]:
    yield simulate_curves(plan.seed + 1000, plan.simulated)
    long = int(0.15 * plan.simulated)
    yield simulate_curves(plan.seed + 1001, long, FEW_REAL, min_points=SHORTEST)


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


def _parts(curves: CurveSet, classes: Sequence[str], plan: FitPlan) -> dict[str, CurveSet]:
    """fit, val and cal; of a large class as many as the plan says, evenly over surveys."""
    part = np.array([part_of(name) for name in curves.object_id])
    known = np.isin(curves.group, classes)
    rng = np.random.default_rng(plan.seed)
    result = {}
    for name, share in (("fit", 1.0), ("val", 0.2), ("cal", 0.4)):
        rows = np.flatnonzero(known & (part == name))
        weight = draw_weights(curves.group[rows], curves.survey[rows])
        kept = []
        for group in classes:
            mine = np.flatnonzero(curves.group[rows] == group)
            size = min(len(mine), int(share * plan.largest_class))
            chance = weight[mine] / weight[mine].sum()
            kept.append(rows[rng.choice(mine, size, replace=False, p=chance)])
        result[name] = curves.take(np.sort(np.concatenate(kept)))
    return result


def _labelled(
    embedder: Embedder, curves: CurveSet, classes: Sequence[str], plan: FitPlan
) -> LabelledViews:
    passes = training_views(embedder, curves, plan.recipe, plan.seed)
    weight = draw_weights(curves.group, curves.survey)
    rows = np.arange(len(curves), dtype=np.int64)
    return labelled(passes, rows, class_index(curves.group, classes), weight)


def class_index(group: NDArray[np.str_], classes: Sequence[str]) -> Int64:
    """Index of each curve's class; KeyError for one that is unknown."""
    index = {name: number for number, name in enumerate(classes)}
    return np.array([index[str(name)] for name in group], dtype=np.int64)


def _with_piece(curves: CurveSet, seed: int) -> CurveSet:
    """The curves and a random piece of each: a stream holds every length."""
    return concatenate([curves, random_pieces(np.random.default_rng(seed), curves, *PIECE_POINTS)])
