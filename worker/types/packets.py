"""Decoded packets and the history that they carry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.types.arrays import Bool, Float64, Int32, Int64, UInt8

BANDS: Mapping[int, str] = {1: "g", 2: "r", 3: "i"}


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
