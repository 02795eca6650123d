"""Tables of an evaluation: every class, mean and scatter over seeds, all rivals in one."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.classify import Predictions, f1_by_list
from models.data import CurveSet
from models.evaluate import Evaluation
from models.metrics import auroc, recall_at, true_positives_at
from models.protocols import ANOMALIES, CONTROL, LEAVE_ONE_OUT, STREAM, TRANSIENTS, Protocol

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


def table(protocol: Protocol, found: Evaluation) -> str:
    """Markdown: one block per length of the test curves."""
    rows = list(dict.fromkeys(row for *_, row in found.scores))
    scored = dict.fromkeys(length for _, _, length, _ in found.scores)
    lengths = [k for k in scored if k in (protocol.lengths or (0, 1))]
    blocks = [_block(protocol, found, rows, length) for length in lengths]
    return "\n\n".join(blocks)


def _block(protocol: Protocol, found: Evaluation, rows: Sequence[str], length: int) -> str:
    targets = dict(anomalies(protocol, found.test))
    seeds = list(dict.fromkeys(seed for _, seed, *_ in found.scores))
    names = list(targets)
    title = f"{protocol.name}{_title(protocol, length)}: AUROC, {len(seeds)} seeds"
    head = ["", *names, "mean", "+-", "recall 1 %", "recall 5 %", "TPR at 1 %", "TPR at 5 %"]
    lines = [title, "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        by_seed = [
            [_measures(found.scores[fold, seed, length, row], odd, inlier)
             for fold, odd, inlier in targets.values()]
            for seed in seeds
        ]  # fmt: skip
        values = np.array(by_seed)  # seeds, classes, measures
        counted = [i for i, name in enumerate(names) if not name.endswith("(control)")]
        means = values[:, counted, 0].mean(axis=1)
        cells = [f"{v:.3f}" for v in values[:, :, 0].mean(axis=0)]
        cells += [f"**{means.mean():.3f}**", f"{means.std():.3f}"]
        cells += [f"{v:.3f}" for v in values[:, counted, 1:].mean(axis=(0, 1))]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _title(protocol: Protocol, length: int) -> str:
    if protocol.name == STREAM:
        return ", matched" if length else ", raw (not a fair test)"
    return f", first {length} points" if length else ""


def anomalies(protocol: Protocol, test: CurveSet) -> Iterator[tuple[str, tuple[str, Bool, Bool]]]:
    """Per column: fold, which test curves are its anomalies, and which are inliers."""
    if protocol.name in LEAVE_ONE_OUT:
        merged = np.array([protocol.merge.get(str(label), "") for label in test.label])
        for left_out in protocol.classes:
            odd = (test.label == left_out) | (merged == left_out)
            yield left_out, (left_out, odd, ~odd & (merged != ""))
        return
    if protocol.name == TRANSIENTS:
        inlier = ~np.isin(test.label, (*ANOMALIES, CONTROL, "VAR"))
        names: Mapping[str, str] = {**{n: n for n in ANOMALIES}, f"{CONTROL} (control)": CONTROL}
        for name, label in names.items():
            if (test.label == label).any():
                yield name, ("", test.label == label, inlier)
        return
    yield "SN", ("", test.group == "SN", test.survey == "ZTF_DR5")


def _measures(score: Float64, odd: Bool, inlier: Bool) -> list[float]:
    """AUROC, recall in the top 1 % and 5 %, TPR at FPR 1 % and 5 %."""
    inliers, found = score[inlier], score[odd]
    return [
        auroc(inliers, found),
        *(recall_at(inliers, found, share) for share in (0.01, 0.05)),
        *(true_positives_at(inliers, found, share) for share in (0.01, 0.05)),
    ]


def class_table(protocol: Protocol, found: Predictions) -> str:
    """Markdown: macro F1 in percent over all and over merged classes, by labels per class."""
    lines = ["P3_asas_f1: macro F1 in %, mean +- scatter of the draws", "",
             "| labels per class | 8 classes | 5 merged |", "|---|---|---|"]  # fmt: skip
    for count, pairs in f1_by_list(protocol, found).items():
        mean, scatter = 100 * np.mean(pairs, axis=0), 100 * np.std(pairs, axis=0)
        cells = [f"{m:.1f} +- {s:.1f}" for m, s in zip(mean, scatter, strict=True)]
        lines.append(f"| {count} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
