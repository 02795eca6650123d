"""One simulated exposure as a ZTF 4.02 packet: candidate, history, forced photometry, stamps."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import fastavro
import fastavro.schema
import numpy as np
from numpy.typing import NDArray

from worker.simulate.schema import VERSION, packet_schema
from worker.simulate.stamps import Stamps

PUBLISHER = "anomaly-worker simulate"
SYNC = b"simulated packet"
NULL, VALUE, END = b"\x00", b"\x02", b"\x00"
"""Union branches of a nullable field, and the end of an array's blocks."""

HISTORY_DAYS = 30.0
FORCED_POINTS = 12
ZERO_POINT = 26.3
"""Magnitude of one count."""

NOTHING = -999.0
"""ZTF's value for "no such source"."""

SURVEY_START_JD = 2457754.5
"""2017-01-01: night 0 of ZTF's night numbers."""

MAGNITUDE_ERROR = 2.5 / np.log(10)

Fields = dict[str, Any]


class Exposures(Protocol):
    """What is needed of a simulated object; see `models.simulate.SimulatedObject`."""

    @property
    def reference(self) -> Mapping[int, tuple[float, float]] | None:
        """Magnitude and error of the reference source per fid."""

    @property
    def jd(self) -> NDArray[np.float64]:
        """Exposures (N,), ascending, d."""

    @property
    def fid(self) -> NDArray[np.uint8]:
        """Band (N,)."""

    @property
    def limit(self) -> NDArray[np.float64]:
        """5-sigma limit (N,), mag."""

    @property
    def detected(self) -> NDArray[np.bool_]:
        """Whether the difference is a detection (N,)."""

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Sign of the difference (N,)."""

    @property
    def magpsf(self) -> NDArray[np.float64]:
        """Magnitude of the absolute difference (N,), mag."""

    @property
    def sigmapsf(self) -> NDArray[np.float64]:
        """Its error (N,), mag."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object is and what the survey makes of it.

    `number` is unique in the night; `quality` (N,): real-bogus score of each exposure;
    `asteroid_arcsec`: distance of a known solar-system object, None without one.
    """

    number: int
    object_id: str
    ra: float
    dec: float
    neighbour: Fields
    quality: NDArray[np.float64]
    programid: int = 1
    asteroid_arcsec: float | None = None


def write_packets(
    exposures: Exposures, place: Place, rows: Sequence[int], stamps: Stamps | None
) -> list[bytes]:
    """The packets of these exposures: Avro containers of one record each, always the same bytes.

    History: all exposures of the 30 days before, as ZTF sends them. Without stamps the cutouts
    and the forced photometry are null.
    """
    points: dict[int, bytes] = {}
    packets = []
    for row in rows:
        earlier = _earlier(exposures.jd, row)
        for i in earlier:
            if i not in points:
                points[i] = _encode("prv_candidates", _history_point(exposures, place, i))
        newest = earlier[::-1][:FORCED_POINTS] if stamps is not None else []
        forced = [_encode("fp_hists", _forced(exposures, place, i)) for i in newest]
        candid = _candid(exposures, place, row)
        body = b"".join(
            (
                _encode("string", VERSION),
                _encode("string", PUBLISHER),
                _encode("string", place.object_id),
                _encode("long", candid),
                _encode("candidate", _candidate(exposures, place, row)),
                _array([points[i] for i in earlier]),
                _array(forced),
                *_cutouts(candid, stamps),
            )
        )
        packets.append(
            b"".join((_header(), _encode("long", 1), _encode("long", len(body)), body, SYNC))
        )
    return packets


def _earlier(jd: NDArray[np.float64], row: int) -> list[int]:
    return [int(i) for i in np.flatnonzero((jd < jd[row]) & (jd >= jd[row] - HISTORY_DAYS))]


def _cutouts(candid: int, stamps: Stamps | None) -> list[bytes]:
    if stamps is None:
        return [NULL] * 3
    named = (
        ("science", stamps.science),
        ("template", stamps.template),
        ("difference", stamps.difference),
    )
    return [
        VALUE + _encode("string", f"candid{candid}_{name}.fits.gz") + _encode("bytes", data)
        for name, data in named
    ]


def _array(items: Sequence[bytes]) -> bytes:
    """A nullable array in one block: null when empty, as ZTF does."""
    if not items:
        return NULL
    return b"".join((VALUE, _encode("long", len(items)), *items, END))


def _encode(kind: str, value: Any) -> bytes:
    """Avro bytes of a plain type or of a record that the packet names."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, _schemas().get(kind, kind), value)
    return stream.getvalue()


@cache
def _schemas() -> dict[str, Any]:
    """The candidate's schema, and the schemas of the entries of the two arrays."""
    kinds = {field["name"]: field["type"] for field in packet_schema()["fields"]}
    records = {
        "candidate": kinds["candidate"],
        "prv_candidates": kinds["prv_candidates"][1]["items"],
        "fp_hists": kinds["fp_hists"][1]["items"],
    }
    return {name: fastavro.schema.parse_schema(record) for name, record in records.items()}


@cache
def _header() -> bytes:
    """What every container starts with: the writer schema, codec null."""
    stream = io.BytesIO()
    fastavro.writer(stream, packet_schema(), [], sync_marker=SYNC)
    return stream.getvalue()


def _candidate(exposures: Exposures, place: Place, row: int) -> Fields:
    seen = exposures.jd[: row + 1][exposures.detected[: row + 1]]
    reference = 0 if exposures.reference is None else int(place.number) * 10
    return {
        **_detection(exposures, place, row),
        **place.neighbour,
        "ndethist": len(seen),
        "ncovhist": row + 1,
        "jdstarthist": float(seen[0]),
        "jdendhist": float(seen[-1]),
        "tooflag": 0,
        "nmtchps": 5,
        "rfid": reference + int(exposures.fid[row]),
        "jdstartref": SURVEY_START_JD + 450.0,
        "jdendref": SURVEY_START_JD + 700.0,
        "nframesref": 20,
        "dsnrms": 4.0,
        "ssnrms": 5.0,
        "dsdiff": -1.0,
        "nmatches": 900,
        "exptime": 30.0,
        "drb": float(place.quality[row]),
        "drbversion": "simulated",
    }


def _history_point(exposures: Exposures, place: Place, row: int) -> Fields:
    if exposures.detected[row]:
        return _detection(exposures, place, row)
    return {
        **_exposure(exposures, place, row),
        **dict.fromkeys(("candid", "isdiffpos", "ra", "dec", "magpsf", "sigmapsf")),
    }


def _detection(exposures: Exposures, place: Place, row: int) -> Fields:
    near = place.asteroid_arcsec
    return {
        **_exposure(exposures, place, row),
        **_reference(exposures, place, row),
        "candid": _candid(exposures, place, row),
        "isdiffpos": "t" if exposures.positive[row] else "f",
        "ra": place.ra,
        "dec": place.dec,
        "magpsf": float(exposures.magpsf[row]),
        "sigmapsf": float(exposures.sigmapsf[row]),
        "magap": float(exposures.magpsf[row]) + 0.02,
        "sigmagap": 1.2 * float(exposures.sigmapsf[row]),
        "fwhm": 2.5 * 1.01,
        "elong": 1.1,
        "nneg": 1,
        "nbad": 0,
        "rb": float(place.quality[row]),
        "ssdistnr": NOTHING if near is None else near,
        "ssmagnr": NOTHING if near is None else float(exposures.magpsf[row]),
        "ssnamenr": "null" if near is None else str(100_000 + place.number),
        "scorr": MAGNITUDE_ERROR / float(exposures.sigmapsf[row]),
    }


def _exposure(exposures: Exposures, place: Place, row: int) -> Fields:
    """What a non-detection has too."""
    jd = float(exposures.jd[row])
    return {
        "jd": jd,
        "fid": int(exposures.fid[row]),
        "pid": _pid(jd, place),
        "diffmaglim": float(exposures.limit[row]),
        "programid": place.programid,
        "nid": int(jd - SURVEY_START_JD),
        "rcid": place.number % 64,
        "field": 400 + place.number % 400,
        "magzpsci": ZERO_POINT,
        "magzpsciunc": 1e-5,
        "magzpscirms": 0.03,
        "rbversion": "simulated",
    }


def _reference(exposures: Exposures, place: Place, row: int) -> Fields:
    if exposures.reference is None:
        names = ("distnr", "magnr", "sigmagnr", "chinr", "sharpnr")
        return {**dict.fromkeys(names, NOTHING), "ranr": place.ra, "decnr": place.dec}
    magnr, sigmagnr = exposures.reference[int(exposures.fid[row])]
    return {
        "distnr": 0.05 + 0.01 * (place.number % 30),
        "magnr": magnr,
        "sigmagnr": sigmagnr,
        "chinr": 0.9,
        "sharpnr": 0.01,
        "ranr": place.ra,
        "decnr": place.dec,
    }


def _forced(exposures: Exposures, place: Place, row: int) -> Fields:
    flux = 10 ** (-0.4 * (float(exposures.magpsf[row]) - ZERO_POINT))
    return {
        **_exposure(exposures, place, row),
        **_reference(exposures, place, row),
        "rfid": 10 * place.number + int(exposures.fid[row]),
        "exptime": 30.0,
        "forcediffimflux": flux if exposures.positive[row] else -flux,
        "forcediffimfluxunc": flux * float(exposures.sigmapsf[row]) / MAGNITUDE_ERROR,
        "procstatus": "0",
    }


def _pid(jd: float, place: Place) -> int:
    """Night, part of the night and quadrant, in the manner of ZTF."""
    return round((jd - SURVEY_START_JD) * 1e6) * 1000 + place.number % 64


def _candid(exposures: Exposures, place: Place, row: int) -> int:
    sign = 15 if exposures.positive[row] else 10
    pid = _pid(float(exposures.jd[row]), place)
    return pid * 1_000_000 + sign * 1000 + place.number // 64
