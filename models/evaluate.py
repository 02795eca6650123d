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
from models.folds import fold_views, folds
from models.inputs import RawViews, Views
from models.protocols import (
    ANOMALIES,
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
from models.recipe import LabelledViews, Recipe, fit_detector, training_passes

log = logging.getLogger(__name__)

Float64 = NDArray[np.float64]

SEEDS = (0, 1, 2)


@dataclass(slots=True)
class Evaluation:
    """Scores by (fold, seed, length, row of the table), each (N,) of the test curves."""

    test: CurveSet
    scores: dict[tuple[str, int, int, str], Float64] = field(default_factory=dict)

    def rows(self, protocol: Protocol) -> Iterator[tuple[object, ...]]:
        """object, band, score of the recipe, left out, seed (and length, where it varies)."""
        folds_of = protocol.classes if protocol.name in LEAVE_ONE_OUT else ("",)
        lengths = protocol.lengths or (0,)
        for (left_out, seed, length, row), scores in self.scores.items():
            if row != ROWS[0] or left_out not in folds_of or length not in lengths:
                continue
            tail = (length,) if protocol.lengths else ()
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
    protocols: Sequence[Protocol],
    train: CurveSet,
    test: CurveSet,
    views: Views,
    recipe: Recipe,
    *,
    seeds: Sequence[int] = SEEDS,
    baselines: bool = True,
) -> Evaluation:
    """Scores of every test curve, fold, seed and length; deterministic by seed.

    Several protocols must train on the same curves: a fold that they share is trained once.
    """
    first = protocols[0]
    fit, val = (prepared(first, select(train, pairs)) for pairs in (first.fit, first.val))
    passes = {name: [views(part) for part in training_passes(curves, recipe, 0)]
              for name, curves in (("fit", fit), ("val", val))}  # fmt: skip
    result = Evaluation(test)
    tested = dict(_test_views(protocols, train, test, views))
    for fold in folds(protocols, fit, val, passes["fit"][0], passes["val"][0]):
        sets = (fold_views(passes["fit"], fit, fold.fit), fold_views(passes["val"], val, fold.val))
        for seed in seeds:
            for row, length, score in _scores(sets, tested, recipe, seed, baselines=baselines):
                result.scores[fold.left_out, seed, length, row] = score
            log.info("%s: %s left out, seed %d", first.name, fold.left_out or "nothing", seed)
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


def prepared(protocol: Protocol, curves: CurveSet) -> CurveSet:
    """Whole curves as the protocol cuts them before anything else."""
    return around_brightest(curves) if protocol.name == TRANSIENTS else curves


def _test_views(
    protocols: Sequence[Protocol], train: CurveSet, test: CurveSet, views: Views
) -> Iterator[tuple[int, RawViews]]:
    """Views by the length that test curves are cut to; 0: not cut by length."""
    first = protocols[0]
    for length in dict.fromkeys(k for protocol in protocols for k in protocol.lengths):
        yield length, views(first_points(test, length))
    if first.name == STREAM:
        field_curves = test.survey == "ZTF_DR5"
        cut = matched(test, select(train, first.reference))
        whole, order = np.flatnonzero(~field_curves), np.argsort(~field_curves, kind="stable")
        joined = concatenate([cut.take(np.flatnonzero(field_curves)), test.take(whole)])
        yield 1, views(joined.take(np.argsort(order)))
    if not all(protocol.lengths for protocol in protocols):
        yield 0, views(prepared(first, test))
