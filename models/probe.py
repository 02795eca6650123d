"""What a frozen encoder is worth by itself: its embedding, the same heads, the same budget.

One line of figures per encoder, so that encoders can be compared with one another: AUROC of P1m,
of P1t at 50 and 20 points and of P2a, macro F1 of P3, each by seed.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.classify import classify, f1_by_list, parse_list
from models.data import CurveSet
from models.engine import Embedder
from models.evaluate import default_test, prepared
from models.folds import fold_views, folds
from models.inputs import PREDICTED, RawViews, embedding
from models.mcdsvdd import TrainPlan
from models.metrics import auroc
from models.protocols import Protocol, first_points, select
from models.recipe import Recipe, fit_alone, training_passes
from models.tables import anomalies

log = logging.getLogger(__name__)

Bool = NDArray[np.bool_]
Float64 = NDArray[np.float64]

PROTOCOLS = ("P1m", "P1t", "P2a", "P3")
COLUMNS = ("P1m", "P1t at 50", "P1t at 20", "P2a", "P3 from 20", "from 100", "from 500")
WHOLE, LENGTHS = 0, (50, 20)


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """`fit_curves`: training curves of the heads at most, the first of each list."""

    recipe: Recipe
    fit_curves: int | None = None


FULL = ProbePlan(Recipe())
QUICK = ProbePlan(Recipe(seeds=1, pieces=1, plan=TrainPlan(draws=4096, epochs=25)), 2500)
"""Enough to order the rows of an ablation."""


def probe(
    embedder: Embedder, protocols: Mapping[str, Protocol], curves: CurveSet, plan: ProbePlan,
    seeds: Sequence[int],
) -> Float64:  # fmt: skip
    """COLUMNS by seed (seeds, 7); P3's by its own draws, one row per draw.

    `protocols` by short name, all of PROTOCOLS.
    """
    variables = _aurocs(embedder, [protocols["P1m"], protocols["P1t"]], curves, plan, seeds)
    transients = _aurocs(embedder, [protocols["P2a"]], curves, plan, seeds)
    columns = [
        variables["P1m_asas_loco5", WHOLE],
        *(variables["P1t_asas_short", length] for length in LENGTHS),
        transients["P2a_crts_transients", WHOLE],
        *_classes(embedder, protocols["P3"], curves, len(seeds)),
    ]
    return np.stack(columns, axis=1)


def _aurocs(
    embedder: Embedder, protocols: Sequence[Protocol], curves: CurveSet, plan: ProbePlan,
    seeds: Sequence[int],
) -> dict[tuple[str, int], Float64]:  # fmt: skip
    """Mean over the protocol's classes by protocol and length, each (seeds,)."""
    first = protocols[0]
    parts = [prepared(first, select(curves, pairs))
             for pairs in (first.fit[: plan.fit_curves], first.val)]  # fmt: skip
    passes = [[_view(embedder, cut) for cut in training_passes(part, plan.recipe, 0)]
              for part in parts]  # fmt: skip
    test = select(curves, default_test(first, curves))
    views = {length: _view(embedder, cut) for length, cut in _cuts(protocols, test)}
    found: dict[tuple[str, int], list[list[float]]] = {}
    for fold in folds(protocols, parts[0], parts[1], passes[0][0], passes[1][0]):
        fit, val = (fold_views(own, part, groups) for own, part, groups in
                    zip(passes, parts, (fold.fit, fold.val), strict=True))  # fmt: skip
        heads = [fit_alone(PREDICTED, fit, val, plan.recipe, seed) for seed in seeds]
        for protocol, length in _listed(protocols, views):
            scores = [score(views[length])[1] for score in heads]
            for odd, inlier in _anomalies_of(fold.left_out, protocol, test):
                values = [auroc(score[inlier], score[odd]) for score in scores]
                found.setdefault((protocol.name, length), []).append(values)
        log.info("%s: %s left out", first.name, fold.left_out or "nothing")
    return {key: np.mean(values, axis=0) for key, values in found.items()}


def _listed(
    protocols: Sequence[Protocol], views: Mapping[int, RawViews]
) -> Iterator[tuple[Protocol, int]]:
    """Each protocol at each of its lengths that there is a view of."""
    for protocol in protocols:
        for length in protocol.lengths or (WHOLE,):
            if length in views:
                yield protocol, length


def _anomalies_of(
    left_out: str, protocol: Protocol, test: CurveSet
) -> Iterator[tuple[Bool, Bool]]:  # fmt: skip
    """The anomalies and the inliers of a fold's test curves, without the control."""
    for name, (fold, odd, inlier) in anomalies(protocol, test):
        if fold == left_out and not name.endswith("(control)"):
            yield odd, inlier


def _cuts(protocols: Sequence[Protocol], test: CurveSet) -> Iterator[tuple[int, CurveSet]]:
    if any(protocol.lengths for protocol in protocols):
        for length in LENGTHS:
            yield length, first_points(test, length)
    yield WHOLE, prepared(protocols[0], test)


def _view(embedder: Embedder, curves: CurveSet) -> RawViews:
    return RawViews({PREDICTED: embedding(embedder, curves)}, np.diff(curves.offsets))


def _classes(embedder: Embedder, protocol: Protocol, curves: CurveSet, draws: int) -> list[Float64]:
    """Macro F1 over all classes by labels per class, each (draws,)."""
    lists = {name: chosen for name, chosen in protocol.train_lists.items()
             if parse_list(name)[1] < draws}  # fmt: skip
    protocol = replace(protocol, train_lists=lists)
    test = select(curves, list(protocol.cal))
    found = f1_by_list(protocol, classify(protocol, curves, test, lambda c: _view(embedder, c)))
    return [np.array([all_classes for all_classes, _ in values])
            for values in found.values()]  # fmt: skip


def probe_table(rows: Mapping[str, Float64]) -> str:
    """Markdown: mean and scatter over seeds of each encoder."""
    head = ["", *COLUMNS]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, values in rows.items():
        mean, scatter = values.mean(axis=0), values.std(axis=0)
        cells = [f"{m:.3f}" + (f" +- {s:.3f}" if len(values) > 1 else "")
                 for m, s in zip(mean, scatter, strict=True)]  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
