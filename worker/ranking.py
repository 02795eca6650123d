"""The night's order: best alert per object, by (p, -score). Pure.

A single alert can't know its place in its night; this is made where all scores of the night
come together (design: Calibrate, emit, rank).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.votes import VotePolicy, Votes

SCHEMA_VERSION = "1.0.0"

TOP = 1000
"""Rows of a published ranking."""

KEPT = 2 * TOP
"""Objects kept of a night: as many as TOP may be hidden by votes before a row is missed.

An object's best alert only gets better, so one that has left the best KEPT comes back only
with a new alert.
"""

ROW_FIELDS = (
    "objectId", "candid", "p", "p_provisional", "score", "nearest_class", "jd", "ra", "dec",
    "band", "magpsf", "n_points", "outcome", "flags",
)  # fmt: skip

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RankingPolicy:
    """How a night is summed up. `budget`: share of inliers that may be emitted."""

    budget: float = 0.01
    votes: VotePolicy = "mark"


def effective_p(row: Row) -> float:
    """The p that orders an alert: calibrated where it exists, else provisional, else 1."""
    p = row["p"] if row["p"] is not None else row["p_provisional"]
    return 1.0 if p is None else float(p)


def order_key(row: Row) -> tuple[float, float, str]:
    """Sorts the most anomalous first; the name makes ties stable."""
    return effective_p(row), -row["score"], row["objectId"]


def best_per_object(rows: Iterable[Row]) -> list[Row]:
    """The best alert of every object, the most anomalous first."""
    best: dict[str, Row] = {}
    for row in sorted(rows, key=order_key):
        best.setdefault(row["objectId"], row)
    return list(best.values())


class NightRanking:
    """Sums and order of one night; takes scores in any order, repeats count once."""

    def __init__(self, survey: str, night: str) -> None:
        self.survey, self.night = survey, night
        self.scored = self.emitted = 0
        self._judged = 0
        self._newest: Row | None = None
        self._candids: set[int] = set()
        self._best: dict[str, Row] = {}
        self._emissions: dict[str, int] = {}

    def add(self, score: Row) -> bool:
        """Count a record of the scores topic; False for one that was counted before."""
        if score["candid"] in self._candids:
            return False
        self._candids.add(score["candid"])
        emitted = score["outcome"] == "emitted"
        self.scored += 1
        self.emitted += emitted
        self._judged += score["p"] is not None and score["outcome"] != "few_points"
        if self._newest is None or score["scored_at_ms"] >= self._newest["scored_at_ms"]:
            self._newest = score
        name = score["objectId"]
        emissions = score["emissions_90d"] + emitted
        self._emissions[name] = max(emissions, self._emissions.get(name, 0))
        held = self._best.get(name)
        if held is None or order_key(score) < order_key(held):
            self._best[name] = score
        if len(self._best) > 2 * KEPT:
            self._prune()
        return True

    @property
    def newest_ms(self) -> int:
        """When the newest score was made, Unix ms; 0 before the first."""
        return self._newest["scored_at_ms"] if self._newest else 0

    def content(self, votes: Votes, policy: RankingPolicy, *, final: bool) -> dict[str, Any]:
        """The ranking record but for the time at which it is written."""
        newest = self._newest or {"model": "", "model_version": ""}
        rows = _placed(best_per_object(self._best.values()), votes, policy.votes)
        return {
            "schema_version": SCHEMA_VERSION,
            "survey": self.survey,
            "night": self.night,
            "model": newest["model"],
            "model_version": newest["model_version"],
            "final": final,
            "scored": self.scored,
            "emitted": self.emitted,
            "expected_false_alarms": policy.budget * self._judged if self._judged else None,
            "rows": [
                {
                    "rank": rank,
                    **{name: row[name] for name in ROW_FIELDS},
                    "emissions_90d": self._emissions[row["objectId"]],
                    "votes": votes.counts(row["objectId"]),
                }
                for rank, row in enumerate(rows[:TOP], 1)
            ],
        }

    def _prune(self) -> None:
        kept = best_per_object(self._best.values())[:KEPT]
        self._best = {row["objectId"]: row for row in kept}
        self._emissions = {name: self._emissions[name] for name in self._best}


def _placed(rows: Sequence[Row], votes: Votes, policy: VotePolicy) -> list[Row]:
    """The rows in the order that the policy gives them."""
    if policy == "mark":
        return list(rows)
    liked = [row for row in rows if not votes.dismissed(row["objectId"])]
    if policy == "hide":
        return liked
    return liked + [row for row in rows if votes.dismissed(row["objectId"])]
