"""Supervised fine-tuning of an encoder, class-balanced; the labels used are recorded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.astromer import Astromer
from models.data import CurveSet
from models.pretrain import Report, TrainingError, train, training_record
from models.tasks import ClassTask, Draw, by_class
from models.weights import save_encoder


@dataclass(frozen=True, slots=True)
class FinetunePlan:
    """How long and on what pieces; see PretrainPlan. `min_curves`: of a class to be used."""

    steps: int = 500
    seed: int = 0
    points: int = 12_000
    shortest: int = 5
    longest: int = 200
    learning_rate: float = 1e-4
    warm_up_steps: int = 50
    save_every: int = 500
    min_curves: int = 30


def finetune(
    module: Astromer,
    record: dict[str, Any],
    curves: CurveSet,
    held_out: CurveSet,
    plan: FinetunePlan,
    out: Path,
    report: Report,
    *,
    resume: bool = False,
) -> float:
    """Train encoder and a linear classifier on labelled curves; write the encoder to `out`.

    `record`: config.json of the encoder. Returns the mean recall of the classes on `held_out`
    (NaN without curves there). Raises TrainingError without two usable classes.
    """
    names, counts = np.unique(curves.group[curves.group != ""], return_counts=True)
    classes = names[counts >= plan.min_curves]
    if len(classes) < 2:
        raise TrainingError(f"fewer than two classes of {plan.min_curves} curves")
    used = curves.take(np.flatnonzero(np.isin(curves.group, classes)))
    draw = Draw(plan.points, plan.shortest, plan.longest, by_class(used))
    names_out = record.get("embedding_names") or [f"state_{i}" for i in range(module.summary_size)]
    task = ClassTask(used, draw, list(names_out), module.summary_size)
    losses = train(module, task, plan, out, report, resume=resume)
    module.eval()
    test = held_out.take(np.flatnonzero(np.isin(held_out.group, classes)))
    recall = task.recall(module, test) if len(test) else float("nan")
    _save(
        module,
        record,
        used,
        task,
        training_record(plan, losses) | {"recall": None if np.isnan(recall) else recall},
        out,
    )
    return recall


def _save(
    module: Astromer,
    record: dict[str, Any],
    used: CurveSet,
    task: ClassTask,
    training: dict[str, Any],
    out: Path,
) -> None:
    surveys, counts = np.unique(used.survey, return_counts=True)
    seen = dict(record.get("curves_seen", {}))
    for survey, count in zip(surveys.tolist(), counts.tolist(), strict=True):
        seen[survey] = max(seen.get(survey, 0), count)
    labels = {*record.get("labels_seen", []), *np.unique(used.label).tolist(), *used.group.tolist()}
    changed = {
        "embedding_names": task.names,
        "finetuning": {**training, "classes": task.classes.tolist()},
        "labels_seen": sorted(labels - {""}),
        "curves_seen": seen,
    }
    save_encoder(module.cpu(), out, {**record, **changed})
