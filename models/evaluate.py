"""Evaluation by the frozen protocols: trains the recipe per fold, scores what is listed.

Every fold trains on the protocol's `fit` list alone, with the packaged artefact's recipe, and
stops by `val`. Nothing here looks at the label of a test curve before the table is made.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.baselines import ROWS, Baselines
from models.data import CurveSet, concatenate
from models.engine import Embedder
from models.inputs import MEASURED, RawViews, Scaling, views_of
from models.protocols import (
    ANOMALIES,
    FIELD,
    LEAVE_ONE_OUT,
    STREAM,
    TRANSIENTS,
    Protocol,
    ProtocolError,
    around_brightest,
    first_points,
    matched,
    select,
)
from models.recipe import (
    LabelledViews,
    Recipe,
    draw_weights,
    fit_detector,
    labelled,
    training_views,
)

log = logging.getLogger(__name__)

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Strings = NDArray[np.str_]

STREAM_CLASSES = 6
SEEDS = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Fold:
    """One detector to train: who is left out, and the classes of the training curves."""

    left_out: str
    fit: Strings
    val: Strings


@dataclass(slots=True)
class Evaluation:
    """Scores by (fold, seed, length, row of the table), each (N,) of the test curves."""

    test: CurveSet
    scores: dict[tuple[str, int, int, str], Float64] = field(default_factory=dict)

    def rows(self, *, with_length: bool) -> Iterator[tuple[object, ...]]:
        """object, band, score of the recipe, left out, seed (and length)."""
        raw_length = 0 if not with_length else None
        for (left_out, seed, length, row), scores in self.scores.items():
            if row != ROWS[0] or (raw_length is not None and length != raw_length):
                continue
            tail = (length,) if with_length else ()
            for name, band, score in zip(
                self.test.object_id.tolist(), self.test.band.tolist(), scores.tolist(), strict=True
            ):
                yield (name, band, f"{score:.7g}", left_out, seed, *tail)


def check_admissible(protocol: Protocol, record: Mapping[str, Any]) -> None:
    """ProtocolError when the encoder saw what the protocol leaves out."""
    seen_labels = set(record.get("labels_seen", []))
    left_out = set(protocol.classes) | {k for k, v in protocol.merge.items()
                                        if v in protocol.classes}  # fmt: skip
    if protocol.name in LEAVE_ONE_OUT and seen_labels & left_out:
        raise ProtocolError(
            f"the encoder was trained on labels of {sorted(seen_labels & left_out)}, which "
            f"{protocol.name} leaves out: train it per fold"
        )
    seen, spared = record.get("curves_seen", {}), record.get("curves_left_out", [])
    if protocol.name == TRANSIENTS and "CRTS" in seen and TRANSIENTS not in spared:
        raise ProtocolError("the encoder saw the anomaly curves of P2a_crts_transients")


def default_test(protocol: Protocol, curves: CurveSet) -> list[tuple[str, str]]:
    """The `cal` part; for transients and the stream every anomaly curve besides."""
    pairs = list(protocol.cal)
    if protocol.name == TRANSIENTS:
        odd = (curves.survey == "CRTS") & np.isin(curves.label, (*ANOMALIES, "HPM"))
        if len(curves):
            odd &= np.diff(curves.offsets) >= 100
    elif protocol.name == STREAM:
        odd = (curves.survey == "ZTF") & (curves.group == "SN")
        odd &= np.diff(curves.offsets) >= protocol.min_points.get("supernova", 8)
    else:
        return pairs
    rows = np.flatnonzero(odd)
    return pairs + list(zip(curves.object_id[rows].tolist(), curves.band[rows].tolist(),
                            strict=True))  # fmt: skip


def evaluate(
    protocol: Protocol,
    train: CurveSet,
    test: CurveSet,
    embedder: Embedder | None,
    recipe: Recipe,
    *,
    seeds: Sequence[int] = SEEDS,
    baselines: bool = True,
) -> Evaluation:
    """Scores of every test curve, fold, seed and length; deterministic by seed."""
    fit, val = (_prepared(protocol, select(train, pairs)) for pairs in (protocol.fit, protocol.val))
    passes = {name: training_views(embedder, part, recipe, 0)
              for name, part in (("fit", fit), ("val", val))}  # fmt: skip
    result = Evaluation(test)
    views = dict(_test_views(protocol, train, test, embedder))
    for fold in _folds(protocol, fit, val, passes["fit"][0], passes["val"][0]):
        sets = [_fold_views(passes[name], part, groups) for name, part, groups in
                (("fit", fit, fold.fit), ("val", val, fold.val))]  # fmt: skip
        for seed in seeds:
            for row, length, score in _scores(sets, views, recipe, seed, baselines=baselines):
                result.scores[fold.left_out, seed, length, row] = score
            log.info("%s: %s left out, seed %d", protocol.name, fold.left_out or "nothing", seed)
    return result


def _scores(
    sets: Sequence[LabelledViews], views: Mapping[int, RawViews], recipe: Recipe, seed: int,
    *, baselines: bool,
) -> Iterator[tuple[str, int, Float64]]:  # fmt: skip
    fit, val = sets
    classes = [str(k) for k in range(int(fit.y.max()) + 1)]
    detector = fit_detector(fit, val, classes, recipe, seed)
    rivals = Baselines(detector, fit, val, recipe, seed) if baselines else None
    for length, raw in views.items():
        found = rivals(raw) if rivals is not None else {ROWS[0]: detector(raw).score}
        for row, score in found.items():
            yield row, length, score


def _prepared(protocol: Protocol, curves: CurveSet) -> CurveSet:
    return around_brightest(curves) if protocol.name == TRANSIENTS else curves


def _test_views(
    protocol: Protocol, train: CurveSet, test: CurveSet, embedder: Embedder | None
) -> Iterator[tuple[int, RawViews]]:
    """Views by the length that test curves are cut to; 0: not cut by length."""
    for length in protocol.lengths:
        yield length, views_of(embedder, first_points(test, length))
    if protocol.name == STREAM:
        field_curves = test.survey == "ZTF_DR5"
        cut = matched(test, select(train, protocol.reference))
        whole, order = np.flatnonzero(~field_curves), np.argsort(~field_curves, kind="stable")
        joined = concatenate([cut.take(np.flatnonzero(field_curves)), test.take(whole)])
        yield 1, views_of(embedder, joined.take(np.argsort(order)))
    if not protocol.lengths:
        yield 0, views_of(embedder, _prepared(protocol, test))


def _folds(
    protocol: Protocol, fit: CurveSet, val: CurveSet, fit_raw: RawViews, val_raw: RawViews
) -> Iterator[Fold]:
    if protocol.name in LEAVE_ONE_OUT:
        merge = protocol.merge
        for left_out in protocol.classes:
            yield Fold(left_out, *(_merged(part.label, merge, left_out) for part in (fit, val)))
    elif protocol.name == TRANSIENTS:
        yield Fold("", *(np.where(part.group == "RRL", "RRL", FIELD) for part in (fit, val)))
    elif protocol.name == STREAM:
        # Field curves have no labels: clusters of their features stand in for classes.
        scaling = Scaling.of(fit_raw.views[MEASURED])
        x, x_val = (scaling.apply(part.views[MEASURED]) for part in (fit_raw, val_raw))
        centres = cluster_centres(x, STREAM_CLASSES, np.random.default_rng(0))
        yield Fold("", *(_closest(points, centres).astype(str) for points in (x, x_val)))
    else:
        raise ProtocolError(f"{protocol.name} has no folds")


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


def _merged(labels: Strings, merge: Mapping[str, str], left_out: str) -> Strings:
    """Merged classes; empty for curves of the class that is left out."""
    merged = np.array([merge[str(label)] for label in labels])
    return np.where((labels == left_out) | (merged == left_out), "", merged)


def _fold_views(passes: Sequence[RawViews], curves: CurveSet, groups: Strings) -> LabelledViews:
    rows = np.flatnonzero(groups != "")
    names = np.unique(groups[rows])
    y = np.searchsorted(names, groups)
    weight = np.zeros(len(curves))
    weight[rows] = draw_weights(groups[rows], curves.survey[rows])
    return labelled(passes, rows, y, weight)
