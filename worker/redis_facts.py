"""What `check` asks the servers that hold the state: one, or every master of a cluster."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worker.cluster import Cluster


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One server. `used`: part of maxmemory, 0 without a limit; `skew_s`: its clock minus ours.

    `name`: empty where there is only one. `watched`: holds a mark, so a lost tail is noticed.
    """

    name: str
    version: str
    policy: str
    persistence: str
    replicas: int
    used: float
    skew_s: float
    watched: bool


def servers(client: Any, marks: Sequence[str]) -> list[ServerFacts]:
    """The facts of each server; `marks`: keys of the marks."""
    if not isinstance(client, Cluster):
        return [_facts("", client, watched=True)]
    watched = {client.owner(key) for key in marks}
    return [_facts(name, node, watched=name in watched) for name, node in client.masters()]


def _facts(name: str, server: Any, *, watched: bool) -> ServerFacts:
    before = time.time()
    seconds, micros = server.time()
    # Half the way there and back taken off.
    skew_s = seconds + micros / 1e6 - (before + time.time()) / 2
    info = server.info()
    limit = int(info.get("maxmemory", 0))
    kinds = ["aof"] if info.get("aof_enabled") else []
    if server.config_get("save").get("save"):
        kinds.append("rdb")
    return ServerFacts(
        name=name,
        version=str(info.get("valkey_version", info.get("redis_version", "?"))),
        policy=str(info.get("maxmemory_policy", "?")),
        persistence="+".join(kinds) or "none",
        replicas=int(info.get("connected_slaves", 0)),
        used=int(info["used_memory"]) / limit if limit else 0.0,
        skew_s=float(skew_s),
        watched=watched,
    )
