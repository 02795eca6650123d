"""The observing night: one definition for ranking, ledger and --night."""

import math
import re
from datetime import UTC, datetime, timedelta

JD_UNIX_EPOCH = 2440587.5
"""Julian date of 1970-01-01T00:00 UTC, days."""

_TOPIC_NIGHT = re.compile(r"(?<!\d)(20\d{6})(?!\d)")


def night_of_jd(jd: float, longitude: float) -> str:
    """YYYYMMDD, the UTC date of the local midnight of floor(jd + east longitude / 360).

    `jd` in days; `longitude` in degrees, east positive. A Julian day number begins at noon, so
    its integer part with the longitude added counts the observatory's noon-to-noon nights;
    local midnight lies half a day after that noon, in UTC half a day - longitude / 360 later.
    """
    number = math.floor(jd + longitude / 360.0)
    midnight = number + 0.5 - longitude / 360.0
    return _date_of_jd(midnight)


def night_of_topic(topic: str) -> str | None:
    """The date in a nightly topic's name, None where it has none."""
    match = _TOPIC_NIGHT.search(topic)
    return match.group(1) if match else None


def night_of_timestamp(timestamp_ms: int, longitude: float) -> str:
    """The night of a broker timestamp (Unix ms)."""
    return night_of_jd(JD_UNIX_EPOCH + timestamp_ms / 86_400_000.0, longitude)


def _date_of_jd(jd: float) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=jd - JD_UNIX_EPOCH)
    return moment.strftime("%Y%m%d")
