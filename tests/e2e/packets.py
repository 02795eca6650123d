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
