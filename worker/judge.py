"""Scores to decisions: emit or withhold, and why. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from worker.types.arrays import Bool, Float64, UInt8
from worker.types.judgement import Claims, Emission, EmittedBy, Judgement
from worker.types.scores import PValues, Scores
from worker.types.windows import WindowBatch

SCORE_BUDGET = 0.8
"""Share of the alarm budget a that the ranking score spends (design: Calibrate, emit, rank)."""

INPUT_BUDGET = 0.2
"""Share of the alarm budget that the input-space alarm spends."""

MAX_EMISSIONS = 32
"""Earlier emissions that an alert carries."""

RECENT = 1000
"""Committed alerts per magnitude kind that the provisional rule looks back on."""


@dataclass(frozen=True, slots=True)
class EmissionPolicy:
    """When a scored alert is emitted.

    `min_percentile` in percent; `repeat_days` in days; `repeat_factor`: share of the smallest
    earlier p that a repeated emission must reach.
    """

    min_percentile: float = 99.0
    min_points: int = 10
    repeat_factor: float = 0.5
    repeat_days: float = 90.0


@dataclass(frozen=True, slots=True)
class RecentScores:
    """The last committed alerts of an uncalibrated survey, per magnitude kind.

    `keys[kind]` (n <= 1,000, 2): p_provisional and -score, in order of commit.
    """

    keys: dict[int, Float64] = field(default_factory=dict)

    def extended(self, kind: UInt8, pvalues: PValues, scores: Scores, rows: Bool) -> "RecentScores":
        """With the committed rows added and all but the newest dropped."""
        keys = _provisional_keys(pvalues, scores)
        usable = rows & np.isfinite(keys[:, 0])
        result = dict(self.keys)
        for value in np.unique(kind[usable]).tolist():
            old = result.get(value, np.empty((0, 2)))
            result[value] = np.concatenate([old, keys[usable & (kind == value)]])[-RECENT:]
        return RecentScores(result)


def judge(
    windows: WindowBatch,
    object_id: Sequence[str],
    candid: Sequence[int],
    jd: Float64,
    scores: Scores,
    pvalues: PValues,
    claims: Claims,
    recent: RecentScores,
    policy: EmissionPolicy,
) -> Judgement:
    """Decide about each window; `object_id`, `candid` and `jd` are those of its packet (B rows).

    A row whose score is not finite is a dead letter, one that another position claimed first a
    duplicate. The rest is emitted, or withheld for the first of few_points, below, repeated
    (design: Calibrate, emit, rank).
    """
    finite = np.isfinite(scores.score)
    counted = finite & claims.first
    emitted_by = _alarms(windows.kind, scores, pvalues, recent, counted, policy)
    few = windows.n_points < policy.min_points
    outcome = np.where(few, "withheld.few_points", "withheld.below").astype(object)
    outcome[~few & (emitted_by != EmittedBy.NONE)] = "emitted"
    outcome[~claims.first] = "duplicate"
    outcome[~finite] = "dead_letter.non_finite_score"
    _withhold_repeats(outcome, object_id, candid, jd, effective_p(pvalues), claims, policy)
    emitted_by[outcome != "emitted"] = EmittedBy.NONE
    return Judgement(outcome=outcome.tolist(), emitted_by=emitted_by)


def with_own_batch(
    claims: Claims,
    judgement: Judgement,
    object_id: Sequence[str],
    candid: Sequence[int],
    jd: Float64,
    p: Float64,
) -> Claims:
    """The claims, each row also knowing its object's emissions of smaller jd in this batch.

    So what an alert says of earlier emissions doesn't depend on where batches end.
    """
    own: dict[str, list[Emission]] = {}
    for row in np.flatnonzero(np.array(judgement.outcome) == "emitted").tolist():
        emission = Emission(int(candid[row]), float(jd[row]), float(p[row]))
        own.setdefault(object_id[row], []).append(emission)
    emissions = list(claims.emissions)
    for row in np.flatnonzero(np.isin(object_id, list(own))).tolist() if own else ():
        known = {e.candid: e for e in emissions[row]}
        known |= {e.candid: e for e in own[object_id[row]] if e.jd < jd[row]}
        emissions[row] = sorted(known.values(), key=lambda e: e.jd)[-MAX_EMISSIONS:]
    return Claims(first=claims.first, emissions=emissions)


def effective_p(pvalues: PValues) -> Float64:
    """The p that orders alerts: calibrated where it exists, else provisional (B,)."""
    return np.where(np.isfinite(pvalues.p), pvalues.p, pvalues.p_provisional)


def _alarms(
    kind: UInt8,
    scores: Scores,
    pvalues: PValues,
    recent: RecentScores,
    counted: Bool,
    policy: EmissionPolicy,
) -> UInt8:
    budget = 1.0 - policy.min_percentile / 100.0
    by_score = pvalues.p <= SCORE_BUDGET * budget
    by_input = pvalues.p_input <= INPUT_BUDGET * budget
    uncalibrated = ~np.isfinite(pvalues.p) & counted
    by_score |= _provisional_alarms(kind, scores, pvalues, recent, uncalibrated)
    return (by_score * EmittedBy.SCORE + by_input * EmittedBy.INPUT).astype(np.uint8)


def _provisional_alarms(
    kind: UInt8, scores: Scores, pvalues: PValues, recent: RecentScores, rows: Bool
) -> Bool:
    """Rows that at most one alert of the window or of the batch undercuts.

    At most one key is smaller exactly when a key does not exceed the second smallest of all.
    """
    keys = _provisional_keys(pvalues, scores)
    alarms = np.zeros(len(rows), dtype=bool)
    rows = rows & np.isfinite(keys[:, 0])
    for value in np.unique(kind[rows]).tolist():
        mine = np.flatnonzero(rows & (kind == value))
        pool = np.concatenate([recent.keys.get(value, np.empty((0, 2))), keys[mine]])
        order = np.lexsort((pool[:, 1], pool[:, 0]))
        bar = pool[order[min(1, len(pool) - 1)]]
        p, minus_score = keys[mine, 0], keys[mine, 1]
        alarms[mine] = (p < bar[0]) | ((p == bar[0]) & (minus_score <= bar[1]))
    return alarms


def _provisional_keys(pvalues: PValues, scores: Scores) -> Float64:
    return np.column_stack([pvalues.p_provisional, -scores.score])


def _withhold_repeats(
    outcome: np.ndarray[tuple[int], np.dtype[np.object_]],
    object_id: Sequence[str],
    candid: Sequence[int],
    jd: Float64,
    p: Float64,
    claims: Claims,
    policy: EmissionPolicy,
) -> None:
    """Mark emitted rows of objects that were emitted before, unless p fell far enough.

    Rows go by jd, so that emissions inside one batch count for the later rows of the object.
    """
    known: dict[str, list[Emission]] = {}
    for row in np.lexsort((np.asarray(candid), jd)).tolist():
        if outcome[row] != "emitted":
            continue
        earlier = known.setdefault(object_id[row], list(claims.emissions[row]))
        bar = _smallest_p(earlier, float(jd[row]), policy.repeat_days)
        if p[row] <= policy.repeat_factor * bar:
            earlier.append(Emission(int(candid[row]), float(jd[row]), float(p[row])))
        else:
            outcome[row] = "withheld.repeated"


def _smallest_p(emissions: Sequence[Emission], jd: float, days: float) -> float:
    within = (e.p for e in emissions if jd - days <= e.jd < jd)
    return min(within, default=float("inf"))
