"""Messages that belong to a night instead of a batch: its ranking, and votes."""

from collections.abc import Mapping
from typing import Any

from worker.encode.avro import ContainerWriter
from worker.topics import Topics
from worker.types.records import Headers, Message
from worker.votes import vote_key


def write_ranking(topics: Topics, content: Mapping[str, Any]) -> Message:
    """The ranking of one night; its key is survey/night."""
    writer = ContainerWriter("ranking")
    key = f"{content['survey']}/{content['night']}".encode()
    return Message(topics.ranking, key, writer.write(dict(content)), _headers(writer))


def write_vote(
    topics: Topics, object_id: str, user: str, label: str | None, now_ms: int
) -> Message:
    """A person's vote about an object; None withdraws it."""
    key = vote_key(object_id, user)
    if label is None:
        return Message(topics.votes, key, None)
    writer = ContainerWriter("vote")
    content = {
        "schema_version": writer.label.rpartition("/")[2],
        "objectId": object_id,
        "label": label,
        "user": user,
        "voted_at_ms": now_ms,
    }
    return Message(topics.votes, key, writer.write(content), _headers(writer))


def _headers(writer: ContainerWriter) -> Headers:
    return (("_format", b"avro"), ("schema", writer.label.encode()))
