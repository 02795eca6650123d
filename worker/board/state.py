"""What the board shows: rankings, votes, and the newest alerts. Pure; one lock for its threads."""

import math
import threading
import uuid
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any

from worker.night import night_of_jd
from worker.ranking import best_per_object, effective_p
from worker.votes import Votes

CAPACITY = 2000
"""Alerts kept in full; with stamps about 0.1 MB each."""

LATENCIES = 500
"""Newest alerts that the latency is taken over."""

MAX_STAMP_BYTES = 512 * 1024
MAX_SAFE_INTEGER = 2**53
STAMPS = {
    "science": "cutoutScience",
    "template": "cutoutTemplate",
    "difference": "cutoutDifference",
}
SUMS = (
    "night", "survey", "model", "model_version", "final", "updated_at_ms", "scored", "emitted",
    "expected_false_alarms",
)  # fmt: skip
NEAR_ASTEROID_ARCSEC = 5.0
GALACTIC_POLE = (math.radians(192.85948), math.radians(27.12825))
"""Right ascension and declination of the north galactic pole, J2000."""


class BoardState:
    """Everything the page asks for; fed by one thread, read by the server's."""

    def __init__(self, survey: str, longitude: float, capacity: int = CAPACITY) -> None:
        self._survey, self._longitude, self._capacity = survey, longitude, capacity
        self._lock = threading.Lock()
        self._boot, self._changes = uuid.uuid4().hex[:8], 0
        self._rankings: dict[str, Mapping[str, Any]] = {}
        self._alerts: OrderedDict[int, Mapping[str, Any]] = OrderedDict()
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._votes = Votes()
        self._problem: str | None = "starting"

    @property
    def version(self) -> str:
        """Changes with everything that the page shows, and with a restart."""
        return f"{self._boot}-{self._changes}"

    @property
    def problem(self) -> str | None:
        """Why nothing new can come, None when all is well."""
        return self._problem

    def report(self, problem: str | None) -> None:
        """Say that the broker can't be read, or that it can."""
        with self._lock:
            self._changes += problem != self._problem
            self._problem = problem

    def add_alert(self, alert: Mapping[str, Any]) -> None:
        """Take a full alert; the oldest makes room."""
        anomaly = alert["anomaly"]
        with self._lock:
            self._changes += 1
            self._alerts[alert["candid"]] = alert
            self._alerts.move_to_end(alert["candid"])
            if len(self._alerts) > self._capacity:
                self._alerts.popitem(last=False)
            if anomaly["ingested_at_ms"] is not None:
                self._latencies.append((anomaly["scored_at_ms"] - anomaly["ingested_at_ms"]) / 1e3)

    def add_ranking(self, ranking: Mapping[str, Any]) -> None:
        """Take a night's ranking; the newest of a night counts."""
        if ranking["survey"] != self._survey:
            return
        with self._lock:
            self._changes += 1
            self._rankings[ranking["night"]] = ranking

    def read_vote(self, key: bytes | None, vote: Mapping[str, Any] | None) -> None:
        """Take a record of the votes topic."""
        with self._lock:
            self._changes += 1
            self._votes.read(key, vote)

    def night(self, night: str | None) -> dict[str, Any]:
        """The rows and sums of a night, by default the newest."""
        with self._lock:
            received = self._received()
            nights = sorted({*self._rankings, *received})
            chosen = night or (nights[-1] if nights else None)
            ranking = self._rankings.get(chosen or "")
            rows = list(ranking["rows"]) if ranking else _unranked(received.get(chosen or "", []))
            return {
                "version": self.version,
                "problem": self._problem,
                "nights": nights,
                "ranked": ranking is not None,
                "latency_p95_s": _p95(self._latencies),
                "newest_ms": max(
                    (a["anomaly"]["scored_at_ms"] for a in self._alerts.values()), default=None
                ),
                **({name: ranking[name] for name in SUMS} if ranking else {"night": chosen}),
                "rows": [self._row(row) for row in rows],
            }

    def detail(self, candid: int) -> dict[str, Any] | None:
        """Everything about one alert but its stamps; None where it isn't kept."""
        with self._lock:
            alert = self._alerts.get(candid)
            if alert is None:
                return None
            votes = self._votes.counts(alert["objectId"])
        stamps = {name: _stamp(alert, name) is not None for name in STAMPS}
        fields = {name: value for name, value in alert.items() if name not in STAMPS.values()}
        safe: dict[str, Any] = _safe({**fields, "stamps": stamps, "votes": votes})
        return {**safe, "candid": str(candid)}

    def stamp(self, candid: int, kind: str) -> bytes | None:
        """A stamp as it was received; None where there is none, or one too large to show."""
        with self._lock:
            alert = self._alerts.get(candid)
        stamp = _stamp(alert, kind) if alert is not None and kind in STAMPS else None
        return stamp if stamp is not None and len(stamp) <= MAX_STAMP_BYTES else None

    def _received(self) -> dict[str, list[Mapping[str, Any]]]:
        nights: dict[str, list[Mapping[str, Any]]] = {}
        for alert in self._alerts.values():
            night = night_of_jd(alert["candidate"]["jd"], self._longitude)
            nights.setdefault(night, []).append(alert)
        return nights

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        alert = self._alerts.get(row["candid"])
        distance = alert["candidate"]["ssdistnr"] if alert else None
        safe: dict[str, Any] = _safe(row)
        return {
            **safe,
            "candid": str(row["candid"]),
            "votes": self._votes.counts(row["objectId"]),
            "dismissed": self._votes.dismissed(row["objectId"]),
            "percentile": 100 * (1 - effective_p(row)),
            "provisional": row["p"] is None,
            "b": galactic_latitude(row["ra"], row["dec"]),
            "solar_system": distance is not None and 0 <= distance < NEAR_ASTEROID_ARCSEC,
            "detail": alert is not None,
        }


def galactic_latitude(ra: float, dec: float) -> float:
    """Degrees, from J2000 degrees."""
    alpha, delta = math.radians(ra) - GALACTIC_POLE[0], math.radians(dec)
    pole = GALACTIC_POLE[1]
    sine = math.sin(delta) * math.sin(pole) + math.cos(delta) * math.cos(pole) * math.cos(alpha)
    return math.degrees(math.asin(max(-1.0, min(1.0, sine))))


def _unranked(alerts: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows from the alerts alone, for as long as nobody ranks the night."""
    rows = [
        {
            **{name: alert["candidate"][name] for name in ("jd", "ra", "dec", "band", "magpsf")},
            **{
                name: alert["anomaly"][name]
                for name in ("p", "p_provisional", "score", "nearest_class", "n_points", "flags")
            },
            "objectId": alert["objectId"],
            "candid": alert["candid"],
            "outcome": "emitted",
            "emissions_90d": len(alert["anomaly"]["emissions"]) + 1,
        }
        for alert in alerts
    ]
    return [{"rank": rank, **row} for rank, row in enumerate(best_per_object(rows), 1)]


def _stamp(alert: Mapping[str, Any], kind: str) -> bytes | None:
    value = alert[STAMPS[kind]]
    stamp = value["stampData"] if isinstance(value, dict) else value
    return stamp or None


def _p95(values: deque[float]) -> float | None:
    return sorted(values)[int(0.95 * (len(values) - 1))] if values else None


def _safe(value: Any) -> Any:
    """What JSON and a browser can hold: no NaN, no integer that would lose digits."""
    if isinstance(value, Mapping):
        return {
            name: str(item) if name == "candid" and item is not None else _safe(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_safe(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and abs(value) >= MAX_SAFE_INTEGER:
        return str(value)
    return value
