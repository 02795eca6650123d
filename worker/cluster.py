"""Redis Cluster: a pipeline per master and batch, which redis-py's own does not make of scripts."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Literal, NamedTuple

import redis
from redis.cluster import ClusterNode, RedisCluster
from redis.commands import CoreCommands

KEY_OF_A_SCRIPT = 3
"""Where EVALSHA names its first key; every other command of the store names it first."""

SENDERS = 16
"""Masters that are spoken to at the same time."""

_STALE = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.ClusterDownError)
"""After these the table of slots may no longer hold."""


class Command(NamedTuple):
    """A queued command; `options` tell redis how to read its answer."""

    args: tuple[Any, ...]
    options: dict[str, Any]

    @property
    def key(self) -> Any:
        """The key that says where it goes."""
        return self.args[KEY_OF_A_SCRIPT if self.args[0] == "EVALSHA" else 1]


class Cluster:
    """A cluster that looks like one server to the store.

    redis-py's pipeline of a cluster refuses scripts, and asks a server for the keys of each
    command that it does not know.
    """

    def __init__(self, url: str, nodes: Sequence[tuple[str, int]], **options: Any) -> None:
        kind: Any = RedisCluster  # its methods have no types
        node: Any = ClusterNode
        self._client = kind(url=url, startup_nodes=[node(*each) for each in nodes], **options)
        self._senders = ThreadPoolExecutor(SENDERS, "redis")
        self.get, self.set = self._client.get, self._client.set
        self.script_load = self._client.script_load

    def pipeline(self, *, transaction: Literal[False]) -> "Batch":
        """An empty batch; transactions don't span slots."""
        del transaction
        return Batch(self)

    def ping(self) -> bool:
        """Whether every master answers."""
        return bool(self._client.ping(target_nodes=RedisCluster.PRIMARIES))

    def close(self) -> None:
        """Close the connections and end the threads."""
        self._senders.shutdown(wait=False)
        self._client.close()

    def masters(self) -> list[tuple[str, Any]]:
        """Name and connection of each master."""
        nodes = self._client.get_primaries()
        return [(node.name, self._client.get_redis_connection(node)) for node in nodes]

    def owner(self, key: str) -> str:
        """Name of the master that holds the key's slot."""
        return str(self._client.get_node_from_key(key).name)

    def sent(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, in order: one pipeline per master, all at the same time.

        Commands of one slot keep their order. Those that the cluster redirects are sent again
        one by one; what they raise then, and every other error, stands as their answer.
        """
        try:
            answers = self._piped(commands)
        except _STALE:
            self._client.nodes_manager.initialize()
            raise
        if any(isinstance(answer, redis.exceptions.MovedError) for answer in answers):
            self._client.nodes_manager.initialize()
        for at, command in enumerate(commands):
            if isinstance(answers[at], redis.exceptions.AskError):
                answers[at] = self._client.execute_command(*command.args, **command.options)
        if any(isinstance(answer, _STALE) for answer in answers):
            self._client.nodes_manager.initialize()
        return answers

    def _piped(self, commands: Sequence[Command]) -> list[Any]:
        share: dict[str, list[int]] = {}
        for at, command in enumerate(commands):
            share.setdefault(self.owner(command.key), []).append(at)
        sending: dict[str, Future[list[Any]]] = {}
        for name, places in share.items():
            node = self._client.get_node(node_name=name)
            pipe = self._client.get_redis_connection(node).pipeline(transaction=False)
            for at in places:
                pipe.execute_command(*commands[at].args, **commands[at].options)
            sending[name] = self._senders.submit(pipe.execute, raise_on_error=False)
        wait(sending.values())
        answers: list[Any] = [None] * len(commands)
        for name, future in sending.items():
            for at, answer in zip(share[name], future.result(), strict=True):
                answers[at] = answer
        return answers


class Batch(CoreCommands):
    """Commands that wait to be sent together."""

    _event_dispatcher: Any = None  # redis' own name; only clients and subscribers use it

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._commands: list[Command] = []

    def execute_command(self, *args: Any, **options: Any) -> "Batch":
        """Queue one command."""
        self._commands.append(Command(args, options))
        return self

    def execute(self) -> list[Any]:
        """The answers, in order; the first error is raised. The batch is empty afterwards."""
        commands, self._commands = self._commands, []
        answers = self._cluster.sent(commands)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers
