"""Calibrations from a live stream, its drift, and how two models differ. Pure: scores in.

All from the slim scores: one alert per object, the one with the smallest md5 of its candid, so
that an object that alerts often does not count more often.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibration import KINDS, SMALLEST_SET, CalibrationError

Float64 = NDArray[np.float64]
UInt8 = NDArray[np.uint8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

SMALL_P = 0.01
BINS = 20
ALARM_SIGMA = 3.0


@dataclass(frozen=True, slots=True)
class StreamScores:
    """What a calibration is made of: N objects, one alert each."""

    kind: UInt8
    n_points: Int64
    score: Float64
    s_input: Float64
    nearest: Int32


def one_per_object(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of each object and magnitude kind the alert with the smallest md5 of its candid."""
    best: dict[tuple[str, str], tuple[str, Mapping[str, Any]]] = {}
    for record in records:
        digest = hashlib.md5(str(record["candid"]).encode(), usedforsecurity=False).hexdigest()
        key = (record["objectId"], record["magnitude_kind"])
        if key not in best or digest < best[key][0]:
            best[key] = (digest, record)
    return [record for _, record in best.values()]


def stream_scores(
    records: Iterable[Mapping[str, Any]], survey: str, model_sha256: str, classes: Sequence[str]
) -> StreamScores:
    """Scores of a survey by this model; kinds with fewer than 1,000 objects are left out.

    Raises CalibrationError when no kind has enough.
    """
    mine = one_per_object(
        record
        for record in records
        if record["survey"] == survey
        and record["model_sha256"] == model_sha256
        and record["score"] is not None
        and np.isfinite(record["score"])
    )
    by_kind: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in mine:
        by_kind[record["magnitude_kind"]].append(record)
    usable = [r for found in by_kind.values() if len(found) >= SMALLEST_SET for r in found]
    if not usable:
        counts = {kind: len(found) for kind, found in by_kind.items()}
        raise CalibrationError(
            f"survey {survey}: a magnitude kind needs {SMALLEST_SET} objects scored by this "
            f"model, found {counts or 'none'}"
        )
    index = {name: number for number, name in enumerate(classes)}
    return StreamScores(
        kind=np.array([KINDS.index(r["magnitude_kind"]) for r in usable], dtype=np.uint8),
        n_points=np.array([r["n_points"] for r in usable], dtype=np.int64),
        score=np.array([r["score"] for r in usable]),
        s_input=np.array([r["s_input"] for r in usable]),
        nearest=np.array([index.get(r["nearest_class"], -1) for r in usable], dtype=np.int32),
    )


@dataclass(frozen=True, slots=True)
class NightDrift:
    """p of a night: `histogram` of equal bins (flat in a steady stream), share below 0.01."""

    night: str
    objects: int
    histogram: list[int]
    share: float
    error: float

    @property
    def sigma(self) -> float:
        """Deviation of the share from 0.01 in binomial errors."""
        return (self.share - SMALL_P) / self.error


def night_drift(night: str, records: Iterable[Mapping[str, Any]]) -> NightDrift | None:
    """A night's drift; None where it has no calibrated score."""
    p = np.array([r["p"] for r in one_per_object(records) if r["p"] is not None])
    if not len(p):
        return None
    counts, _ = np.histogram(p, bins=BINS, range=(0.0, 1.0))
    error = float(np.sqrt(SMALL_P * (1 - SMALL_P) / len(p)))
    return NightDrift(night, len(p), counts.tolist(), float((p < SMALL_P).mean()), error)


def compare_scores(
    first: Iterable[Mapping[str, Any]], second: Iterable[Mapping[str, Any]], top: int = 100
) -> dict[str, float]:
    """How two models order the alerts that both scored, curve by equal curve."""
    left = {(r["objectId"], r["candid"], r["curve_hash"]): r for r in first}
    right = {(r["objectId"], r["candid"], r["curve_hash"]): r for r in second}
    shared = sorted(left.keys() & right.keys())
    result: dict[str, float] = {
        "first": len(left),
        "second": len(right),
        "compared": len(shared),
    }
    if len(shared) < 2:
        return result
    a, b = (np.array([side[key]["score"] for key in shared]) for side in (left, right))
    emitted_a, emitted_b = (
        np.array([side[key]["outcome"] == "emitted" for key in shared]) for side in (left, right)
    )
    size = min(top, len(shared))
    best = [set(np.argsort(-values, kind="stable")[:size].tolist()) for values in (a, b)]
    return {
        **result,
        "spearman": round(spearman(a, b), 6),
        f"top{size}_shared": len(best[0] & best[1]),
        "emitted_by_both": int((emitted_a & emitted_b).sum()),
        "emitted_by_first_only": int((emitted_a & ~emitted_b).sum()),
        "emitted_by_second_only": int((~emitted_a & emitted_b).sum()),
    }


def spearman(a: Float64, b: Float64) -> float:
    """Rank correlation; ties share their mean rank. NaN where one side is constant."""
    ranks = [_ranks(values) for values in (a, b)]
    if any(np.ptp(r) == 0 for r in ranks):
        return float("nan")
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: Float64) -> Float64:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - 0.5 * (counts - 1))[inverse], dtype=np.float64)
