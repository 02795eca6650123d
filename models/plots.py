"""Plots of an evaluation as PNG: AUROC by class, and against the number of points."""

from pathlib import Path

import numpy as np

from models.evaluate import Evaluation
from models.metrics import auroc
from models.protocols import Protocol
from models.tables import anomalies


def plot_evaluation(protocol: Protocol, found: Evaluation, folder: Path) -> list[Path]:
    """Write the plots that the protocol allows; returns their paths."""
    import matplotlib as mpl  # noqa: PLC0415 - only here, and only with the extra [train]

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the backend is chosen

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    scored = dict.fromkeys(length for _, _, length, _ in found.scores)
    lengths = [k for k in scored if k in (protocol.lengths or (0, 1))]
    values = _values(protocol, found)
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for row, by_length in values.items():
        last = by_length[lengths[-1]]
        axes.plot(list(last), list(last.values()), "o", label=row, alpha=0.8)
    axes.axhline(0.5, color="grey", linewidth=0.8)
    axes.set(ylabel="AUROC", title=f"{protocol.name}, by what was left out")
    axes.legend(fontsize=7, ncols=2)
    paths.append(folder / f"{protocol.name}-classes.png")
    figure.savefig(paths[-1], dpi=120)
    plt.close(figure)
    if len(lengths) > 1:
        figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
        for row, by_length in values.items():
            means = [np.mean(list(by_length[length].values())) for length in lengths]
            axes.semilogx(lengths, means, "o-", label=row)
        axes.set(xlabel="points", ylabel="mean AUROC", title=protocol.name)
        axes.legend(fontsize=7, ncols=2)
        paths.append(folder / f"{protocol.name}-points.png")
        figure.savefig(paths[-1], dpi=120)
        plt.close(figure)
    return paths


def _values(protocol: Protocol, found: Evaluation) -> dict[str, dict[int, dict[str, float]]]:
    """Mean AUROC over seeds by row, length and column."""
    result: dict[str, dict[int, dict[str, float]]] = {}
    seeds = sorted({seed for _, seed, *_ in found.scores})
    keys = dict.fromkeys((row, length) for _, _, length, row in found.scores
                         if length in (protocol.lengths or (0, 1)))  # fmt: skip
    for name, (fold, odd, inlier) in anomalies(protocol, found.test):
        for row, length in keys:
            scores = [found.scores[fold, seed, length, row] for seed in seeds]
            mean = float(np.mean([auroc(score[inlier], score[odd]) for score in scores]))
            result.setdefault(row, {}).setdefault(length, {})[name] = mean
    return result
