"""Memos in Redis: what a pure function gave, under a digest of its input.

Key, below `<prefix>`: `memo:<digest>`, a string. A memo that is lost, or a Redis that does not
answer, costs time and nothing else (design: Redis behind Kafka).
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import redis

log = logging.getLogger(__name__)

TTL_S = 30 * 86400
"""An object that is silent for longer is looked at anew."""


class Memos:
    """A shelf of memos that every worker of the prefix reads and fills."""

    def __init__(self, client: Any, prefix: str) -> None:
        self._client, self._prefix = client, f"{prefix}memo:".encode()

    def read(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """What is kept under each key; nothing at all while Redis is away."""
        pipe = self._client.pipeline(transaction=False)
        for key in keys:
            pipe.get(self._prefix + key)
        try:
            return list(pipe.execute())
        except redis.RedisError as error:
            log.warning("memos not read: %s", error)
            return [None] * len(keys)

    def write(self, memos: Mapping[bytes, bytes]) -> None:
        """Keep these, unless Redis is away."""
        pipe = self._client.pipeline(transaction=False)
        for key, value in memos.items():
            pipe.set(self._prefix + key, value, ex=TTL_S)
        try:
            pipe.execute()
        except redis.RedisError as error:
            log.warning("memos not written: %s", error)
