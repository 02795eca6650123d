"""What a replay is compared by: the same curve must give the same score. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.judge import INPUT_BUDGET, SCORE_BUDGET

SCORE_TOLERANCE = 1e-4
"""Relative difference of scores that arithmetic on other batches may make (design: Replay)."""

THRESHOLD_TOLERANCE = 1e-3
"""Alerts nearer than this to a threshold may be emitted in one run and not in the other."""

Slim = Mapping[str, Any]


@dataclass(slots=True)
class Comparison:
    """Counts, and where two runs differ; `agrees` is about what has to be equal."""

    compared: int = 0
    equal: int = 0
    near_threshold: int = 0
    not_replayable: int = 0
    other_curve: list[str] = field(default_factory=list)
    other_score: list[str] = field(default_factory=list)
    other_outcome: list[str] = field(default_factory=list)
    only_before: list[str] = field(default_factory=list)
    only_replayed: list[str] = field(default_factory=list)
    largest_difference: float = 0.0

    @property
    def agrees(self) -> bool:
        """Whether equal curves gave equal scores and emissions, and nothing is missing."""
        missing = self.only_before or self.only_replayed
        return not (self.other_score or self.other_outcome or missing)


def compare(before: Iterable[Slim], replayed: Iterable[Slim], min_percentile: float) -> Comparison:
    """Compare slim scores by input position."""
    old = {_position(score): score for score in before}
    new = {_position(score): score for score in replayed}
    result = Comparison()
    result.only_before = [_name(old[p]) for p in sorted(old.keys() - new.keys())]
    result.only_replayed = [_name(new[p]) for p in sorted(new.keys() - old.keys())]
    for position in sorted(old.keys() & new.keys()):
        _compare_one(result, old[position], new[position], 1.0 - min_percentile / 100.0)
    return result


def _compare_one(result: Comparison, old: Slim, new: Slim, budget: float) -> None:
    result.compared += 1
    if old["curve_hash"] != new["curve_hash"]:
        result.other_curve.append(_name(old))
        return
    difference = abs(old["score"] - new["score"]) / max(abs(old["score"]), 1e-12)
    result.largest_difference = max(result.largest_difference, difference)
    if difference > SCORE_TOLERANCE:
        result.other_score.append(_name(old))
    elif old["outcome"] == new["outcome"]:
        result.equal += 1
    elif old["p"] is None:
        # Which alerts of an uncalibrated survey go out depends on what came just before.
        result.not_replayable += 1
    elif _is_near(old, budget):
        result.near_threshold += 1
    else:
        result.other_outcome.append(f"{_name(old)}: {old['outcome']}, now {new['outcome']}")


def _is_near(score: Slim, budget: float) -> bool:
    pairs = ((score["p"], SCORE_BUDGET * budget), (score["p_input"], INPUT_BUDGET * budget))
    return any(
        p is not None and abs(p - threshold) <= THRESHOLD_TOLERANCE * threshold
        for p, threshold in pairs
    )


def _position(score: Slim) -> tuple[str, int, int]:
    return score["input_topic"], score["input_partition"], score["input_offset"]


def _name(score: Slim) -> str:
    return f"{score['objectId']} {score['candid']}"
