"""Reaching Redis: one server, a master that sentinels name, or a cluster; and what errors mean."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import redis
from redis import connection
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from worker.cluster import Cluster
from worker.errors import ConfigError, TransientError

Mode = Literal["single", "sentinel", "cluster"]

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379
NOT_A_CLUSTER = "Cluster mode is not enabled"

_REFUSED = (redis.AuthenticationError, redis.exceptions.NoPermissionError)
"""The server answers and says no: waiting doesn't help, a person must act."""

_TRANSIENT = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.ClusterError,
    redis.exceptions.TryAgainError,
    redis.exceptions.AskError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.MasterDownError,
    redis.exceptions.NoScriptError,
)
"""MOVED is a kind of ASK. A script that is missing right after it was loaded: a failover."""

_REFUSED_FOR_NOW = ("NOREPLICAS", "MISCONF")
"""Writes are refused while replicas or the disk are away; redis has no class for these."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the state lives.

    With sentinels (host:port each) the URL gives user, password, database and TLS; its host is
    not used. `nodes`: host:port of more nodes of a cluster, for when the URL's is away.
    """

    url: str
    mode: Mode = "single"
    nodes: Sequence[str] = ()
    sentinels: Sequence[str] = ()
    service_name: str | None = None
    sentinel_login: bool = False
    timeout_s: float = 5.0


def connect(address: Address) -> Any:
    """A client of redis, which speaks to a cluster at once and to others at the first call.

    Raises ConfigError for an unusable address and redis' own errors when a cluster is away.
    """
    timeouts = {
        "socket_timeout": address.timeout_s,
        "socket_connect_timeout": address.timeout_s,
    }
    # The loop repeats a failed call itself; a second layer would multiply the wait.
    retry = Retry(NoBackoff(), 0)
    try:
        if address.mode == "sentinel":
            return _named_by_sentinels(address, timeouts, retry)
        if address.mode == "cluster":
            nodes = [_host_port(node, DEFAULT_PORT) for node in address.nodes]
            return Cluster(address.url, nodes, retry=retry, **timeouts)
        return redis.Redis.from_url(address.url, retry=retry, **timeouts)
    except ValueError as error:
        raise ConfigError(f"redis.url: {error}") from error


def translated(operation: str, call: Callable[[], Any]) -> Any:
    """The call's result; ConfigError where a person must act, TransientError where time helps."""
    try:
        return call()
    except _REFUSED as error:
        raise ConfigError(f"redis {operation}: {error}") from error
    except _TRANSIENT as error:
        raise TransientError(f"redis {operation}: {error}") from error
    except redis.exceptions.RedisClusterException as error:
        if isinstance(error.__cause__, _REFUSED) or NOT_A_CLUSTER in str(error):
            raise ConfigError(f"redis {operation}: {error}") from error
        raise TransientError(f"redis {operation}: {error}") from error
    except redis.ResponseError as error:
        if any(word in str(error) for word in _REFUSED_FOR_NOW):
            raise TransientError(f"redis {operation}: {error}") from error
        raise


def _named_by_sentinels(address: Address, timeouts: dict[str, float], retry: Retry) -> Any:
    parse_url: Any = connection.parse_url  # has no types
    given = parse_url(address.url)
    for name in ("host", "port"):
        given.pop(name, None)
    kind = given.pop("connection_class", None)
    if kind not in {None, connection.SSLConnection}:
        raise ValueError("sentinels need redis:// or rediss://")
    if kind is connection.SSLConnection:
        given["ssl"] = True
    own = {
        name: value
        for name, value in given.items()
        if name.startswith("ssl") or (address.sentinel_login and name in {"username", "password"})
    }
    hosts = [_host_port(node, SENTINEL_PORT) for node in address.sentinels]
    if not hosts:
        raise ValueError("redis.sentinels names none")
    watch: Any = Sentinel
    sentinels = watch(hosts, sentinel_kwargs={**timeouts, **own, "retry": retry})
    return sentinels.master_for(
        address.service_name or "mymaster", **{**timeouts, **given, "retry": retry}
    )


def _host_port(node: str, usual: int) -> tuple[str, int]:
    host, colon, port = node.rpartition(":")
    return (host.strip("[]"), int(port)) if colon else (node, usual)
