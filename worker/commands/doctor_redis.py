"""The probe of `check` that looks at the state's servers."""

from collections.abc import Iterator

from worker.commands.findings import SKEW_S, Finding, Status
from worker.errors import ExitCode
from worker.redis_facts import ServerFacts
from worker.settings import Settings

FULL = 0.8
OLDEST_REDIS = (6, 2)


def check_redis(settings: Settings) -> Iterator[Finding]:
    """Version, layout, eviction, persistence, room and clock of each server."""
    from worker.commands.wiring import connect_store

    store = connect_store(settings)
    try:
        found = store.servers()
    finally:
        store.close()
    several = f", {len(found)} masters" if settings.redis.mode == "cluster" else ""
    versions = ", ".join(sorted({facts.version for facts in found}))
    yield Finding("redis", "ok", f"version {versions}{several}, layout and programids fit")
    for facts in found:
        yield from findings_of(facts)
    skew_s = max((facts.skew_s for facts in found), key=abs)
    status: Status = "ok" if abs(skew_s) < SKEW_S else "warning"
    advice = "" if status == "ok" else "synchronise the clocks: latencies and nights depend on them"
    yield Finding("clock", status, f"Redis is {skew_s:+.2f} s from this machine", advice)


def findings_of(facts: ServerFacts) -> Iterator[Finding]:
    """What is wrong with one server; a master of a cluster is named."""
    where = f"{facts.name}: " if facts.name else ""
    if _version(facts.version) < OLDEST_REDIS:
        yield Finding("redis", "failed", f"{where}version {facts.version} is too old",
                      "6.2 or newer, or Valkey", ExitCode.CONFIG)  # fmt: skip
    advised = {
        f"maxmemory-policy {facts.policy}": (
            facts.policy != "noeviction",
            "set noeviction: evicted curves are lost silently",
        ),
        "no persistence": (
            facts.persistence == "none",
            "set appendonly yes; without it a restart is a rebuild from the input",
        ),
        f"{facts.used:.0%} of maxmemory is used": (
            facts.used > FULL,
            "see the capacity table in deploy/README.md",
        ),
        "no replica": (
            bool(facts.name) and not facts.replicas,
            "while this master is away the whole group waits; give it one",
        ),
        "no mark lives here": (
            not facts.watched,
            "a failover that loses its tail goes unnoticed; at most 16 masters, slots in a row",
        ),
    }
    for detail, (is_so, advice) in advised.items():
        if is_so:
            yield Finding("redis", "warning", f"{where}{detail}", advice)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
