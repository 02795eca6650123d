"""Measures of a ranking: exact, never by a sweep of thresholds (specification: mcdsvdd, 6)."""

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


def auroc(inliers: Float64, anomalies: Float64) -> float:
    """Share of pairs in which the anomaly scores higher; ties count half. NaN when one is empty."""
    if not len(inliers) or not len(anomalies):
        return float("nan")
    ordered = np.sort(inliers)
    below = np.searchsorted(ordered, anomalies, side="left")
    not_above = np.searchsorted(ordered, anomalies, side="right")
    return float((below + not_above).mean() / (2 * len(inliers)))


def average_precision(inliers: Float64, anomalies: Float64) -> float:
    """Mean precision at each anomaly's place; equal scores share one threshold."""
    score = np.concatenate([inliers, anomalies])
    odd = np.arange(len(score)) >= len(inliers)
    order = np.argsort(-score, kind="stable")
    ranked, found = score[order], np.cumsum(odd[order])
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    gained = np.diff(found[last], prepend=0)
    return float((gained * found[last] / (last + 1)).sum() / max(len(anomalies), 1))


def recall_at(inliers: Float64, anomalies: Float64, share: float) -> float:
    """Share of the anomalies within the top `share` of the whole ranking."""
    score = np.concatenate([inliers, anomalies])
    odd = np.arange(len(score)) >= len(inliers)
    top = np.argsort(-score, kind="stable")[: max(1, round(share * len(score)))]
    return float(odd[top].sum() / max(len(anomalies), 1))


def true_positives_at(inliers: Float64, anomalies: Float64, share: float) -> float:
    """Share of the anomalies above the threshold that flags `share` of the inliers."""
    return float((anomalies > np.quantile(inliers, 1.0 - share)).mean())


def macro_f1(truth: NDArray[np.str_], predicted: NDArray[np.str_]) -> float:
    """Mean over the true classes of their F1."""
    values = []
    for name in np.unique(truth):
        both = ((truth == name) & (predicted == name)).sum()
        values.append(2 * both / max((truth == name).sum() + (predicted == name).sum(), 1))
    return float(np.mean(values))
