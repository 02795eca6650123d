"""The Fink view: one schema that reads a whole container without knowing containers.

fink-client decodes schemaless values by a schema that it gets from a file or from the key. Our
values are single-record, single-block containers with codec null, so that everything in front
of the record can be described as fields of its own.
"""

from typing import Any

from worker.encode.avro import schema_json

_PREFIX: list[dict[str, Any]] = [
    {
        "name": "_magic",
        "type": {"type": "fixed", "name": "_magic_bytes", "size": 4},
        "doc": "Container header: Obj and version 1",
    },
    {
        "name": "_meta",
        "type": {"type": "map", "values": "bytes"},
        "doc": "Container header: the schema and the codec",
    },
    {
        "name": "_sync",
        "type": {"type": "fixed", "name": "_sync_bytes", "size": 16},
        "doc": "Container header: sync marker",
    },
    {"name": "_count", "type": "long", "doc": "Records in the block: 1"},
    {"name": "_size", "type": "long", "doc": "Size of the record [byte]"},
]


def fink_view(name: str) -> dict[str, Any]:
    """The released schema of that name as a schemaless reader needs it."""
    schema = schema_json(name)
    return {**schema, "fields": [*_PREFIX, *schema["fields"]]}
