"""What a campaign left behind, read back as any reader would."""

from dataclasses import dataclass, field

import redis

from tests.oracle import read_packet
from worker.kafka import read_all
from worker.topics import Topics


@dataclass
class Evidence:
    """The input as it lies in the topic, and everything that was made of it.

    `curves`: stored bytes by (objectId, band). `unordered`: objects whose packets came out of
    order. `restores`: how often Redis came back without its tail.
    """

    inputs: list
    scores: list
    alerts: list
    letters: list
    books: list
    curves: dict
    unordered: set = field(default_factory=set)
    restores: int = 0


def gathered(bootstrap, redis_urls, *, topic, out, prefix, unordered=(), restores=0):
    """Everything with read_committed."""
    config, topics = {"bootstrap.servers": bootstrap}, Topics(out)
    return Evidence(
        inputs=list(read_all(config, topic)),
        scores=[read_packet(read.value) for read in read_all(config, topics.scores)],
        alerts=[read_packet(read.value) for read in read_all(config, topics.out)],
        letters=list(read_all(config, topics.dead_letters)),
        books=[read_packet(read.value) for read in read_all(config, topics.ledger)],
        curves={cell: v for url in redis_urls for cell, v in stored_curves(url, prefix).items()},
        unordered=set(unordered),
        restores=restores,
    )


def stored_curves(redis_url, prefix):
    """Every band of every object, as Redis holds it."""
    with redis.Redis.from_url(redis_url) as client:
        keys = list(client.scan_iter(f"{prefix}lc:*", count=1000))
        values = [client.get(key) for key in keys]
    names = [key.decode().removeprefix(f"{prefix}lc:{{").split("}:") for key in keys]
    return {(name, int(band)): v for (name, band), v in zip(names, values, strict=True)}
