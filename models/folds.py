"""Folds of the protocols: who is left out, and what the rest is trained as."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.data import CurveSet
from models.inputs import MEASURED, RawViews
from models.protocols import FIELD, LEAVE_ONE_OUT, STREAM, TRANSIENTS, Protocol, ProtocolError
from models.recipe import LabelledViews, draw_weights, labelled
from models.scaling import Scaling

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Strings = NDArray[np.str_]

STREAM_CLASSES = 6


@dataclass(frozen=True, slots=True)
class Fold:
    """One detector to train: who is left out, and the classes of the training curves."""

    left_out: str
    fit: Strings
    val: Strings


def folds(
    protocols: Sequence[Protocol], fit: CurveSet, val: CurveSet, fit_raw: RawViews,
    val_raw: RawViews,
) -> Iterator[Fold]:  # fmt: skip
    """Folds of protocols that train on the same curves; one that several ask for comes once."""
    first = protocols[0]
    if first.name in LEAVE_ONE_OUT:
        for left_out in dict.fromkeys(name for p in protocols for name in p.classes):
            yield Fold(left_out, *(inlier_classes(part.label, first.merge, left_out)
                                   for part in (fit, val)))  # fmt: skip
    elif first.name == TRANSIENTS:
        yield Fold("", *(np.where(part.group == "RRL", "RRL", FIELD) for part in (fit, val)))
    elif first.name == STREAM:
        # Field curves have no labels: clusters of their features stand in for classes.
        scaling = Scaling.of(fit_raw.views[MEASURED])
        x, x_val = (scaling.apply(part.views[MEASURED]) for part in (fit_raw, val_raw))
        centres = cluster_centres(x, STREAM_CLASSES, np.random.default_rng(0))
        yield Fold("", *(_closest(points, centres).astype(str) for points in (x, x_val)))
    else:
        raise ProtocolError(f"{first.name} has no folds")


def fold_views(passes: Sequence[RawViews], curves: CurveSet, groups: Strings) -> LabelledViews:
    """Training rows of a fold: every pass over the curves that have a class."""
    rows = np.flatnonzero(groups != "")
    names = np.unique(groups[rows])
    y = np.searchsorted(names, groups)
    weight = np.zeros(len(curves))
    weight[rows] = draw_weights(groups[rows], curves.survey[rows])
    return labelled(passes, rows, y, weight)


def inlier_classes(labels: Strings, merge: Mapping[str, str], left_out: str) -> Strings:
    """Merged classes; empty for curves of the class that is left out."""
    merged = np.array([merge[str(label)] for label in labels])
    return np.where((labels == left_out) | (merged == left_out), "", merged)


def cluster_centres(x: Float32, count: int, rng: np.random.Generator) -> Float32:
    """Centres (count, D) by k-means (Lloyd 1982)."""
    centres = x[rng.choice(len(x), count, replace=False)]
    for _ in range(25):
        own = _closest(x, centres)
        kept = [x[own == k].mean(axis=0) if (own == k).any() else centres[k] for k in range(count)]
        centres = np.stack(kept)
    return centres


def _closest(x: Float32, centres: Float32) -> Int64:
    return np.asarray(((x[:, None, :] - centres) ** 2).sum(axis=-1).argmin(axis=1))
