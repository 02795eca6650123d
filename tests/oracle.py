"""What must become of packets, worked out plainly from the packets themselves.

Nothing of the worker is used: fastavro decodes, loops follow the design's rules. It holds where
each object's packets come in order of jd, whatever happens to the workers meanwhile.
"""

import io
import math
from collections import Counter

import fastavro

CUTS = {"real_bogus", "solar_system", "saturated", "non_public"}


def read_packet(value):
    """The one record of a container; None where there is none, several, or broken bytes."""
    try:
        records = list(fastavro.reader(io.BytesIO(value)))
    except (ValueError, EOFError, IndexError, KeyError, TypeError, UnicodeDecodeError):
        return None
    return records[0] if len(records) == 1 else None


def expected_outcomes(values):
    """(outcome, objectId, candid) per value, in order; what is scored ends as "scored"."""
    packets = [_usable(read_packet(value)) for value in values]
    state = {}
    for packet in packets:
        if packet is not None and packet["candidate"]["programid"] == 1:
            _merge(state, packet)
    seen, result = set(), []
    for packet in packets:
        if packet is None:
            result.append(("dead_letter", None, None))
            continue
        candid = _candid(packet)
        outcome = _cut(packet["candidate"]) or _outcome(state, packet)
        if outcome == "scored" and candid in seen:
            outcome = "duplicate"
        elif outcome == "scored":
            seen.add(candid)
        result.append((outcome, packet["objectId"], candid))
    return result


def _usable(packet):
    """None for what is Avro and still no packet."""
    return packet if packet is not None and math.isfinite(packet["candidate"]["jd"]) else None


def grouped(counts):
    """Outcomes of the books by the names used here: dead letters and scores in one word each."""
    result = Counter()
    for outcome, count in counts.items():
        head, _, tail = outcome.partition(".")
        name = {"emitted": "scored", "withheld": "scored", "skipped": tail}.get(head, head)
        result[name] += count
    return result


def _candid(packet):
    return packet["candid"] if "candid" in packet else packet["candidate"]["candid"]


def _number(record, name):
    value = record.get(name)
    return math.nan if value is None or value == -999 else float(value)


def _bogus(point):
    drb, rb = _number(point, "drb"), _number(point, "rb")
    return rb < 0.55 if math.isnan(drb) else drb < 0.5


def _positive(point):
    return point["isdiffpos"] in {"t", "1"}


def _corrected(point):
    """Apparent magnitude and error, or None (specification: alerts, section 2)."""
    magnr, distnr = _number(point, "magnr"), _number(point, "distnr")
    if not (0 <= distnr < 1.4 and magnr > 0):
        return None
    a, b = 10 ** (-0.4 * magnr), 10 ** (-0.4 * point["magpsf"])
    total = a + (b if _positive(point) else -b)
    if total <= 0:
        return None
    variance = (b * point["sigmapsf"]) ** 2 - (a * _number(point, "sigmagnr")) ** 2
    noise = math.sqrt(variance) if variance > 0 else b * point["sigmapsf"]
    return -2.5 * math.log10(total), noise / total


def _cut(point):
    corrected = _corrected(point)
    if point["programid"] != 1:
        return "non_public"
    if _bogus(point):
        return "real_bogus"
    if 0 <= _number(point, "ssdistnr") < 5:
        return "solar_system"
    return "saturated" if corrected is not None and corrected[0] < 13.2 else None


def _merge(state, packet):
    """One value per candid: its own packet's beats a history copy; known since the earliest."""
    own = {**packet["candidate"], "candid": _candid(packet), "own": True}
    history = [p for p in packet.get("prv_candidates") or () if p.get("candid") is not None]
    for point in [own, *history]:
        points = state.setdefault((packet["objectId"], point["fid"]), {})
        old = points.get(point["candid"])
        since = own["jd"] if old is None else min(own["jd"], old["since"])
        best = point if old is None or ("own" in point and "own" not in old) else old
        points[point["candid"]] = {**best, "since": since}


def _outcome(state, packet):
    own = packet["candidate"]
    points = [
        point
        for point in state[packet["objectId"], own["fid"]].values()
        if point["candid"] == _candid(packet)
        or (point["jd"] < own["jd"] and point["since"] <= own["jd"])
    ]
    usable = [point for point in points if _cut(point) is None]
    correctable = [p for p in usable if (_corrected(p) or (0, 0))[1] > 0]
    apparent = _stellar(own) and correctable and 2 * len(correctable) >= len(usable)
    positive = [p for p in usable if _positive(p) and p["sigmapsf"] > 0]
    return "scored" if len(correctable if apparent else positive) >= 5 else "short"


def _stellar(own):
    if not (0 <= _number(own, "distnr") < 1.4 and _number(own, "magnr") > 0):
        return False
    if 0 <= _number(own, "distpsnr1") < 1.4:
        return _number(own, "sgscore1") > 0.4
    return _number(own, "chinr") < 2 and -0.13 < _number(own, "sharpnr") < 0.1
