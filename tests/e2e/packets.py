"""Every real ZTF packet as an input topic: keyed by objectId, in order of jd."""

from pathlib import Path

import pytest

from tests.oracle import read_packet

ALERTS = Path("../shared/data/alerts")
FOLDERS = ("ztf", "ztf_rebuilt", "ztf_redelivered", "ztf_variants", "ztf_malformed")

needs_alerts = pytest.mark.skipif(not ALERTS.is_dir(), reason="the shared alerts are not here")


def real_items():
    """(key, value) of each packet; what has no objectId comes first, without a key.

    Every tenth packet is delivered once more at the end, as producers do after a restart.
    """
    readable, broken = [], []
    for folder in FOLDERS:
        for path in sorted((ALERTS / folder).glob("*.avro")):
            value = path.read_bytes()
            packet = read_packet(value)
            if packet is None:
                broken.append((None, value))
            else:
                readable.append((packet["candidate"]["jd"], packet["objectId"].encode(), value))
    readable.sort(key=lambda item: item[:2])
    return broken + [item[1:] for item in [*readable, *readable[::10]]]


STORED = ("jd", "magpsf", "sigmapsf", "magnr", "sigmagnr", "distnr", "rb", "drb")


def objects_of_two_values(items):
    """Objects one of whose candids came with two values between which only bytes decide.

    The smaller bytes win, whoever sent them: a value that a later packet brings can replace one
    that an earlier packet was scored with, so a batch that is read again may see another curve.
    """
    own, copies = {}, {}
    for _, value in items:
        packet = read_packet(value)
        if packet is None:
            continue
        candid = packet.get("candid", packet["candidate"].get("candid"))
        _note(own, packet["objectId"], candid, packet["candidate"])
        for point in packet.get("prv_candidates") or ():
            if point.get("candid") is not None:
                _note(copies, packet["objectId"], point["candid"], point)
    undecided = {**copies, **own}
    return {name for (name, _), values in undecided.items() if len(values) > 1}


def _note(table, name, candid, point):
    table.setdefault((name, candid), set()).add(tuple(point.get(field) for field in STORED))
