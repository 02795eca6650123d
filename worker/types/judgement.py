"""What becomes of a scored window, and all that an alert is written from."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from worker.types.arrays import Bool, UInt8
from worker.types.light_curves import LightCurves
from worker.types.packets import PacketBatch
from worker.types.records import RecordBatch
from worker.types.scores import PValues, Scores
from worker.types.windows import WindowBatch


@dataclass(frozen=True, slots=True)
class Emission:
    """An earlier emission of an object."""

    candid: int
    jd: float
    p: float


@dataclass(frozen=True, slots=True)
class Claims:
    """Answer of the state to "who has this candid?", one row per window.

    `first` (B,): this position holds the claim (also after a replay).
    `emissions`: earlier emissions of each row's object, oldest first, at most 32.
    """

    first: Bool
    emissions: Sequence[Sequence[Emission]]


class EmittedBy(IntEnum):
    """Which alarm emitted an alert."""

    NONE = 0
    SCORE = 1
    INPUT = 2
    BOTH = 3


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of each window (B rows).

    `outcome`: "emitted", "withheld.few_points", "withheld.below", "withheld.repeated",
    "duplicate" or "dead_letter.non_finite_score". `emitted_by` (B,): EmittedBy.
    """

    outcome: Sequence[str]
    emitted_by: UInt8


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """Everything known about a batch when it is judged; what the encoder writes from."""

    records: RecordBatch
    packets: PacketBatch
    curves: LightCurves
    windows: WindowBatch
    scores: Scores
    pvalues: PValues
    claims: Claims
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who scored: stamped on every message."""

    survey: str
    model: str
    model_version: str
    model_sha256: str
    group: str
    slot: str
    worker_version: str
    cpu_fallback: bool = False
    """A build for a GPU runs on the CPU because none works."""
