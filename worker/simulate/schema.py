"""The writer schema of simulated packets: ZTF 4.02, put together from the output's candidate.

Names, types and nullability are those of ZTF's own schema; which fields a history entry or a
forced point shares with the candidate is listed here.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

VERSION = "4.02"

OWN_FIELDS = ("psfFlux", "psfFluxErr", "band")
"""What the output's candidate has beyond ZTF's."""

HISTORY_REQUIRED = frozenset({"jd", "fid", "pid", "programid", "rbversion"})
"""Of a history entry everything else may be null: non-detections have no magnitude."""

NOT_IN_HISTORY = frozenset(
    f"{name}{number}"
    for name in ("objectidps", "sgmag", "srmag", "simag", "szmag", "sgscore", "distpsnr")
    for number in (1, 2, 3)
) | {
    "ndethist", "ncovhist", "jdstarthist", "jdendhist", "tooflag", "nmtchps", "rfid",
    "jdstartref", "jdendref", "nframesref", "dsnrms", "ssnrms", "dsdiff", "nmatches",
    "zpclrcov", "zpmed", "clrmed", "clrrms", "neargaia", "neargaiabright", "maggaia",
    "maggaiabright", "exptime", "drb", "drbversion",
}  # fmt: skip

FORCED = (
    "field", "rcid", "fid", "pid", "rfid", "sciinpseeing", "scibckgnd", "scisigpix", "magzpsci",
    "magzpsciunc", "magzpscirms", "clrcoeff", "clrcounc", "exptime", "adpctdif1", "adpctdif2",
    "diffmaglim", "programid", "jd", "forcediffimflux", "forcediffimfluxunc", "procstatus",
    "distnr", "ranr", "decnr", "magnr", "sigmagnr", "chinr", "sharpnr",
)  # fmt: skip

NULL_FLOAT = ["null", "float"]

Schema = dict[str, Any]


@cache
def packet_schema() -> Schema:
    """The record `ztf.alert`."""
    # Released schemas never change, so simulated packets don't either.
    path = files("worker") / "schemas" / "anomaly-1.0.0.avsc"
    released = json.loads(path.read_text(encoding="utf-8"))
    output = next(f["type"]["fields"] for f in released["fields"] if f["name"] == "candidate")
    candidate = [_field(f["name"], f["type"]) for f in output if f["name"] not in OWN_FIELDS]
    types = {field["name"]: field["type"] for field in candidate}
    history = [
        _field(name, kind if name in HISTORY_REQUIRED else _nullable(kind))
        for name, kind in sorted(types.items(), key=lambda item: item[0] == "rbversion")
        if name not in NOT_IN_HISTORY
    ]
    types["procstatus"] = ["null", "string"]
    forced = [_field(name, types.get(name, NULL_FLOAT)) for name in FORCED]
    cutout = _record(
        "cutout", [_field("fileName", "string"), _field("stampData", "bytes")]
    )  # fmt: skip
    fields = [
        _field("schemavsn", "string"),
        _field("publisher", "string"),
        _field("objectId", "string"),
        _field("candid", "long"),
        _field("candidate", _record("candidate", candidate)),
        _field("prv_candidates", ["null", _array(_record("prv_candidate", history))]),
        _field("fp_hists", ["null", _array(_record("fp_hist", forced))]),
        _field("cutoutScience", ["null", cutout]),
        _field("cutoutTemplate", ["null", "ztf.alert.cutout"]),
        _field("cutoutDifference", ["null", "ztf.alert.cutout"]),
    ]
    return {
        "namespace": "ztf", "type": "record", "name": "alert", "version": VERSION,
        "fields": fields,
    }  # fmt: skip


def _field(name: str, kind: Any) -> Schema:
    field: Schema = {"name": name, "type": kind}
    if isinstance(kind, list):
        field["default"] = None
    return field


def _record(name: str, fields: list[Schema]) -> Schema:
    return {"namespace": "ztf.alert", "type": "record", "name": name, "fields": fields}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _nullable(kind: Any) -> Any:
    return kind if isinstance(kind, list) else ["null", kind]
