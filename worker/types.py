"""The nouns of the worker and their dtypes.

Everything that crosses a wall between rooms is one of these frozen, slotted dataclasses of
NumPy columns. Row order is part of the contract: row *i* of a result is row *i* of its input.
Units: jd in days (UTC), ra and dec in degrees, magnitudes in mag (AB), distances in arcsec.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Integers = NDArray[np.integer]
Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
UInt8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]

BANDS: Mapping[int, str] = {1: "g", 2: "r", 3: "i"}

Headers = Sequence[tuple[str, bytes]]


# --- input ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class TopicPartition:
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records as received, one row per record, in the order of each partition.

    `source` (N,) indexes `partitions`; `offsets` (N,) int64; `timestamps_ms` (N,) int64,
    broker timestamp in Unix ms, -1 if unknown; `values`, `keys`, `headers`: N entries each.
    `starts` maps every partition of the batch to the position before the batch (the ledger's
    `start`, which may be below the first offset when offsets hold no record).
    A file counts as one partition whose offset is the index of the record in it.
    """

    partitions: Sequence[TopicPartition]
    source: Int32
    offsets: Int64
    timestamps_ms: Int64
    values: Sequence[bytes]
    keys: Sequence[bytes | None]
    headers: Sequence[Headers]
    starts: Mapping[TopicPartition, int]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def next_offsets(self) -> dict[TopicPartition, int]:
        """Last offset + 1 of every partition that has a record here: what a commit names."""
        result: dict[TopicPartition, int] = {}
        for row, source in enumerate(self.source.tolist()):
            result[self.partitions[source]] = int(self.offsets[row]) + 1
        return result


# --- decode -----------------------------------------------------------------------------

DEAD_LETTER_REASONS = (
    "too_large",  # value above max_message_bytes
    "not_avro",  # empty, no OCF magic, unreadable header
    "header_too_large",
    "schema_refused",  # static check failed, or the survey mapping's required fields are missing
    "schema_unknown",  # unknown schemas are not accepted by configuration
    "codec_refused",  # codec not allowed, or inflates beyond its cap
    "truncated",  # data ends inside a value, or bytes are left over
    "malformed",  # bad union index, negative length, missing sync marker
    "multi_record",  # not exactly one record in a message of a topic
    "invalid_value",  # a mapped field is not finite, out of range, or required and null
    "too_many_points",
    "non_finite_score",
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record (or one alert of it) that cannot succeed.

    `record`: row in the RecordBatch. `candid` and `object_id` where they are known.
    """

    record: int
    reason: str
    error_class: str
    error: str
    candid: int | None = None
    object_id: str | None = None


@dataclass(frozen=True, slots=True)
class Detections:
    """History detections (prv_candidates with a magnitude), one row per point.

    `packet` (H,) int32, ascending: the packet that carried the point. NaN stands for null.
    `positive`: sign of the difference. Order within a packet is that of the packet.
    """

    packet: Int32
    candid: Int64
    jd: Float64
    band: UInt8
    programid: UInt8
    positive: Bool
    magpsf: Float64
    sigmapsf: Float64
    magnr: Float64
    sigmagnr: Float64
    distnr: Float64
    rb: Float64
    ssdistnr: Float64
    diffmaglim: Float64
    ra: Float64
    dec: Float64


@dataclass(frozen=True, slots=True)
class NonDetections:
    """Upper limits, one row per point. Published, never stored."""

    packet: Int32
    jd: Float64
    band: UInt8
    programid: UInt8
    diffmaglim: Float64


@dataclass(frozen=True, slots=True)
class ForcedPoints:
    """Forced photometry, one row per point; flux and its error in DN, NaN where the fit failed."""

    packet: Int32
    jd: Float64
    band: UInt8
    programid: UInt8
    flux: Float64
    flux_err: Float64
    magzpsci: Float64
    diffmaglim: Float64


@dataclass(frozen=True, slots=True)
class PacketBatch:
    """Decoded packets as columns, one row per packet; NaN stands for null.

    `record` (P,) int32: row in the RecordBatch (a file may hold several packets).
    `schemas`: the distinct writer schemas (JSON bytes) of the batch; `schema` (P,) indexes it.
    `blocks`: one entry per packet, the bytes that hold the record (the message itself where
    its codec is null, else the inflated block); `body` (P, 2) int64: span of the Avro body
    in it. `spans`: named spans (P, 2) into the same bytes, -1 where absent: `candidate`,
    `cutoutScience`, `cutoutTemplate`, `cutoutDifference` (the encoded values without the union
    index), `cdsxmatch`.
    """

    record: Int32
    schemas: Sequence[bytes]
    schema: Int32
    blocks: Sequence[bytes]
    body: Int64
    spans: Mapping[str, Int64]

    object_id: Sequence[str]
    candid: Int64
    jd: Float64
    band: UInt8
    programid: UInt8
    positive: Bool
    ra: Float64
    dec: Float64
    magpsf: Float64
    sigmapsf: Float64
    diffmaglim: Float64
    magnr: Float64
    sigmagnr: Float64
    distnr: Float64
    rb: Float64
    drb: Float64
    ssdistnr: Float64
    distpsnr1: Float64
    sgscore1: Float64
    chinr: Float64
    sharpnr: Float64

    detections: Detections
    non_detections: NonDetections
    forced: ForcedPoints

    def __len__(self) -> int:
        return len(self.candid)


# --- state ------------------------------------------------------------------------------

POINT = np.dtype(
    [
        ("candid", "<i8"),
        ("jd", "<f8"),
        ("known_since", "<f8"),
        ("magpsf", "<f4"),
        ("sigmapsf", "<f4"),
        ("magnr", "<f4"),
        ("sigmagnr", "<f4"),
        ("distnr", "<f4"),
        ("rb", "u1"),
        ("drb", "u1"),
        ("programid", "u1"),
        ("flags", "u1"),
    ]
)
"""One stored detection: 48 bytes, little-endian, raw facts only (design: State). The layout
is versioned by LAYOUT_VERSION; rb and drb are in 1/250, 255 = unknown; the band is the key's."""

LAYOUT_VERSION = 1


class PointFlag(IntEnum):
    """Bits of POINT.flags."""

    POSITIVE = 1  # the difference is positive
    OWN = 2  # values come from the detection's own alert, not from a history copy
    NEAR_ASTEROID = 4  # a known solar-system object within 5 arcsec


@dataclass(frozen=True, slots=True)
class LightCurves:
    """The light curve of each packet's object as of that packet, all bands, ragged.

    Points of packet *i* are rows `offsets[i]:offsets[i + 1]` of `points` (POINT) and `band`,
    by jd, then candid, its own point included. `late` (P,): this packet was new to the state
    although a newer packet of the object had been merged before.
    """

    offsets: Int64
    points: NDArray[np.void]
    band: UInt8
    late: Bool


# --- window -----------------------------------------------------------------------------


class MagnitudeKind(IntEnum):
    """What the magnitudes of a window are; the two are never mixed in one window."""

    DIFFERENCE = 0
    APPARENT = 1


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """The curves to score, one row per packet that is long enough, ragged, unpadded.

    `packet` (B,) int32: row in the PacketBatch. Points of row *i* are `offsets[i]:offsets[i+1]`
    of `jd`, `mag`, `err` (float64, one band, one magnitude kind, ascending jd). Cutting to the
    model's length, centring and padding are the model's preprocessing.
    `excluded` (B,): points of the band that couldn't be expressed in the row's kind.
    `curve_hash` (B,) int64: digest of the records that may enter a window (design: State).
    `n_points_band` (B, 3) int32: usable points in g, r, i.
    """

    packet: Int32
    offsets: Int64
    jd: Float64
    mag: Float64
    err: Float64
    kind: UInt8
    excluded: Int32
    curve_hash: Int64
    n_points_band: Int32

    def __len__(self) -> int:
        return len(self.packet)

    @property
    def n_points(self) -> Int64:
        """Points per row (B,)."""
        return np.diff(self.offsets)


# --- score ------------------------------------------------------------------------------


class Scores(Protocol):
    """What a model says about B windows; larger means more anomalous."""

    @property
    def score(self) -> Float64:
        """Ranking score (B,), a fusion of channels."""

    @property
    def s1(self) -> Float64:
        """MCDSVDD's squared distance to the nearest centre (B,)."""

    @property
    def s_input(self) -> Float64:
        """Input-space alarm (B,)."""

    @property
    def nearest(self) -> Int32:
        """Index into the model's classes (B,)."""

    @property
    def second(self) -> Int32:
        """Second nearest class (B,)."""

    @property
    def distances(self) -> Float64:
        """Squared distance to every centre (B, K)."""

    @property
    def top_inputs(self) -> Int32:
        """The most deviating inputs (B, 3), indices into the model's input names."""

    @property
    def top_values(self) -> Float64:
        """Their values (B, 3)."""

    @property
    def top_typical(self) -> Float64:
        """Their typical values (B, 3)."""

    @property
    def top_z(self) -> Float64:
        """Their deviation in robust standard deviations (B, 3)."""

    @property
    def neighbours(self) -> Int32:
        """Classes of the nearest training objects (B, M)."""

    @property
    def neighbour_distances(self) -> Float64:
        """Their distances (B, M)."""

    @property
    def embedding(self) -> Float32:
        """Encoder output (B, D)."""


class PValues(Protocol):
    """Conformal p-values of B scores; NaN where they do not exist."""

    @property
    def p(self) -> Float64:
        """Given the number of points (B,); NaN when uncalibrated."""

    @property
    def p_class(self) -> Float64:
        """Given nearest class and number of points (B,)."""

    @property
    def p_input(self) -> Float64:
        """Of the input-space alarm (B,)."""

    @property
    def p_provisional(self) -> Float64:
        """Against the artefact's own held-out inliers (B,); NaN when calibrated."""

    @property
    def extrapolated(self) -> Bool:
        """p lies beyond the resolution of the set (B,)."""

    @property
    def n_cal(self) -> Int32:
        """Objects in the bin that was used (B,)."""

    @property
    def calibration_sha256(self) -> Sequence[str | None]:
        """Which calibration, per row; None when uncalibrated."""


class Scorer(Protocol):
    """A model behind one call: curves in, scores and p-values out. NumPy on both sides."""

    @property
    def name(self) -> str:
        """Artefact name."""

    @property
    def version(self) -> str:
        """Artefact version."""

    @property
    def sha256(self) -> str:
        """Digest of the artefact's SHA256SUMS."""

    @property
    def classes(self) -> Sequence[str]:
        """Names of the K inlier classes."""

    @property
    def input_names(self) -> Sequence[str]:
        """Names of the model's inputs."""

    @property
    def window(self) -> int:
        """Points that enter the encoder; older ones are cut."""

    def is_calibrated(self, survey: str) -> bool:
        """Whether there is a calibration for a survey."""

    def warm_up(self) -> None:
        """Run every shape once, so that no stream alert pays for it."""

    def score(self, offsets: Int64, jd: Float64, mag: Float64, err: Float64, kind: UInt8) -> Scores:
        """Score B ragged curves (see WindowBatch)."""

    def p_values(self, survey: str, kind: UInt8, n_points: Int64, scores: Scores) -> PValues:
        """Calibrate scores for a survey; uncalibrated surveys get provisional p-values."""


# --- judge ------------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class Message:
    """One record to produce."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default=())


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


OUTCOMES = (
    "emitted",
    "withheld.few_points",
    "withheld.below",
    "withheld.repeated",
    "duplicate",
    "skipped.non_public",
    "skipped.real_bogus",
    "skipped.solar_system",
    "skipped.saturated",
    "skipped.short",
    *(f"dead_letter.{reason}" for reason in DEAD_LETTER_REASONS),
)
"""Every record of the input ends as exactly one of these; ledger, metrics and logs use them."""


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
