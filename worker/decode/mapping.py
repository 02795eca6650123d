"""Where the worker's columns lie in a survey's packet: tables of paths, not code per version.

Source: ZTF alert schemas 1.3 to 4.02. Null is NaN, the sentinel, or a field that is absent.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

LARGEST = 1.7976931348623157e308
"""Infinities are refused in every mapped field, NaN is null."""

NO_MATCH = -999.0
FAILED_FIT = -99999.0

MAX_POINTS = 5000
MAX_STRING = 256


MAX_VALUES = 500_000
"""Values in the arrays and maps of one packet, mapped or not: they bound what fastavro makes of
an accepted packet. The longest real ones (Rubin's deep fields) have about 130,000."""


class Kind(Enum):
    """How a field's bytes become a value."""

    NUMBER = "int, long, float or double"
    INTEGER = "int or long"
    SIGN = "string t or 1 (positive), f or 0"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name here, its field there, what a value may be."""

    name: str
    field: str
    low: float = -LARGEST
    high: float = LARGEST
    sentinel: float = math.nan
    kind: Kind = Kind.NUMBER


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of one kind of row; the first `required` of them may not be null.

    `identified`: columns beyond `required` that a row with an identifier must have as well.
    """

    columns: tuple[Column, ...]
    required: int
    identified: int


@dataclass(frozen=True, slots=True)
class Survey:
    """One survey's packet.

    `identifiers`: paths of the detection's key, the first that the writer schema has counts.
    `record` holds the packet's own columns. `history`: arrays of earlier detections and limits
    (a limit has no `point_identifier`); an array whose items lack that field but have
    `forced_field` holds forced points instead, as those of `forced_history` do.
    `spans`: top-level fields whose encoded value is found again by its span.
    """

    object_id: str
    identifiers: tuple[tuple[str, ...], ...]
    record: str
    history: str
    forced_history: str
    point_identifier: str
    forced_field: str
    spans: tuple[str, ...]
    packet: Table
    detection: Table
    forced: Table


POSITIVE: Mapping[object, float] = {"t": 1.0, "1": 1.0, "f": 0.0, "0": 0.0}
"""Spellings of the sign of a difference."""

_JD = Column("jd", "jd", 2_400_000.0, 2_500_000.0)
_BAND = Column("band", "fid", 1, 3, kind=Kind.INTEGER)
_PROGRAMID = Column("programid", "programid", 0, 255, kind=Kind.INTEGER)
_PHOTOMETRY = (
    _JD,
    _BAND,
    _PROGRAMID,
    Column("positive", "isdiffpos", 0, 1, kind=Kind.SIGN),
    Column("magpsf", "magpsf", -30, 50),
    Column("sigmapsf", "sigmapsf", 0, 100),
)
_DIFFMAGLIM = Column("diffmaglim", "diffmaglim", sentinel=NO_MATCH)
_REFERENCE = (
    Column("magnr", "magnr", sentinel=NO_MATCH),
    Column("sigmagnr", "sigmagnr", sentinel=NO_MATCH),
    Column("distnr", "distnr", sentinel=NO_MATCH),
)
_RA = Column("ra", "ra", 0, 360)
_DEC = Column("dec", "dec", -90, 90)
_RB = Column("rb", "rb")
_SSDISTNR = Column("ssdistnr", "ssdistnr", sentinel=NO_MATCH)

ZTF = Survey(
    object_id="objectId",
    # Spark's re-encodings keep candid inside candidate only.
    identifiers=(("candid",), ("candidate", "candid")),
    record="candidate",
    history="prv_candidates",
    forced_history="fp_hists",
    point_identifier="candid",
    # Schema 3.5 has forced photometry under the name prv_candidates.
    forced_field="forcediffimflux",
    spans=("candidate", "cutoutScience", "cutoutTemplate", "cutoutDifference", "cdsxmatch"),
    packet=Table(
        (
            *_PHOTOMETRY,
            _RA,
            _DEC,
            _DIFFMAGLIM,
            *_REFERENCE,
            _RB,
            Column("drb", "drb"),
            _SSDISTNR,
            Column("distpsnr1", "distpsnr1", sentinel=NO_MATCH),
            Column("sgscore1", "sgscore1", sentinel=NO_MATCH),
            Column("chinr", "chinr", sentinel=NO_MATCH),
            Column("sharpnr", "sharpnr", sentinel=NO_MATCH),
        ),
        required=8,
        identified=8,
    ),
    detection=Table(
        (*_PHOTOMETRY, _DIFFMAGLIM, *_REFERENCE, _RB, _SSDISTNR, _RA, _DEC),
        required=3,
        identified=6,
    ),
    forced=Table(
        (
            _JD,
            _BAND,
            _PROGRAMID,
            Column("flux", "forcediffimflux", sentinel=FAILED_FIT),
            Column("flux_err", "forcediffimfluxunc", sentinel=FAILED_FIT),
            Column("magzpsci", "magzpsci", sentinel=NO_MATCH),
            _DIFFMAGLIM,
        ),
        required=3,
        identified=3,
    ),
)
