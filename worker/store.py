"""Light-curve state: the only user of redis.

Keys, below `<prefix>`:

=======================================  ==========  ==============================================
`lc:{objectId}:<fid>`                    string      48-byte records (types' POINT) of a band
`claim:<group>:{objectId}:<candid>`      string      topic/partition/offset that scored the candid
`emit:<group>:{objectId}`                sorted set  emissions, member "candid p", score jd
`mark:<group>:{tag}`                     hash        next offset by "topic/partition", 16 tags
`memo:<digest>`                          string      a period block, see worker.memos
`meta`                                   string      layout version and programids, set once
=======================================  ==========  ==============================================

Everything of one object shares its hash tag and so its slot; merging is one script call per
object and one pipeline per server and batch, never a round trip per alert.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import chain, pairwise
from typing import Any, Self

import numpy as np
import redis

from worker.cluster import Cluster
from worker.connect import Address, connect, translated
from worker.errors import ConfigError
from worker.light_curve import merge_points, packed_points
from worker.marks import Marks, Raising
from worker.memos import Memos
from worker.redis_facts import ServerFacts, servers
from worker.types.arrays import Bool, Float64, Int64, UInt8
from worker.types.judgement import Claims, Emission
from worker.types.light_curves import LAYOUT_VERSION, MAX_POINTS, StoredCurves
from worker.types.packets import BANDS, PacketBatch
from worker.types.records import TopicPartition

MAX_EMISSIONS = 32

READ_AT_ONCE = 16
"""Objects whose curves one command reads: at most a megabyte."""


class Store:
    """The light curves, claims, emissions and marks of one consumer group."""

    def __init__(
        self,
        client: Any,
        *,
        prefix: str,
        group: str,
        max_points: int = MAX_POINTS,
        ttl_s: int = 400 * 86400,
        claim_ttl_s: int = 14 * 86400,
    ) -> None:
        self._client = client
        self._prefix, self._group = prefix, group
        self._max_points, self._ttl_s, self._claim_ttl_s = max_points, ttl_s, claim_ttl_s
        self._marks = Marks(prefix, group)
        scripts = files("worker")
        self._merge_script = (scripts / "merge.lua").read_text(encoding="utf-8")
        self._marks_script = (scripts / "marks.lua").read_text(encoding="utf-8")
        self._claim_script = (scripts / "claim.lua").read_text(encoding="utf-8")
        self._merge_sha = self._marks_sha = self._claim_sha = ""

    @classmethod
    def connect(cls, address: Address | str, **settings: Any) -> Self:
        """Connect; a text is the URL of one server; `settings` are those of the constructor.

        Raises ConfigError for an unusable address and TransientError when nobody answers.
        """
        where = Address(address) if isinstance(address, str) else address
        store = cls(translated("connect", lambda: connect(where)), **settings)
        store._call("connect", store._client.ping)
        return store

    def check_meta(self, programids: Iterable[int]) -> None:
        """Set the state's layout and programids once; ConfigError when they differ."""
        mine = json.dumps({"layout": LAYOUT_VERSION, "programids": sorted(programids)})
        key = f"{self._prefix}meta"
        self._call("meta", lambda: self._client.set(key, mine, nx=True))
        stored = self._call("meta", lambda: self._client.get(key))
        if stored is None or json.loads(stored) != json.loads(mine):
            raise ConfigError(
                f"the state under {self._prefix!r} was made with {(stored or b'?').decode()}, "
                f"this worker wants {mine}: use another redis.prefix"
            )

    def merge(
        self, packets: PacketBatch, public: Bool, next_offsets: Mapping[TopicPartition, int]
    ) -> StoredCurves:
        """Merge the public packets; what the state then holds of their objects.

        The marks of `next_offsets` are written last. Raises RestartRequiredError when a mark is
        lower than this worker wrote it: the state lost its tail and must be rebuilt.
        """
        rows = np.flatnonzero(public).astype(np.int32)
        points, bands, packet = packed_points(packets, rows)
        owners = [packets.object_id[row] for row in packet.tolist()]
        index = {name: number for number, name in enumerate(dict.fromkeys(owners))}
        names, blobs = list(index), self._blobs(points, bands, owners, index)
        marks = self._marks.raising(next_offsets)
        answers = self._call("merge", lambda: self._merged(names, blobs, marks, read=True))
        added, pieces = answers[: len(names)], answers[len(names) : -len(self._marks.keys)]
        marks.check(answers[-len(self._marks.keys) :])
        found = [piece or b"" for piece in chain.from_iterable(pieces)]
        return StoredCurves(rows, index, found, added, self._max_points)

    def seed(self, object_ids: Sequence[str], points: Any, band: UInt8) -> None:
        """Merge points that came without a packet; `object_ids` and `band` name each one's key."""
        index = {name: number for number, name in enumerate(dict.fromkeys(object_ids))}
        blobs = self._blobs(points, band, object_ids, index)
        marks = self._marks.raising({})
        self._call("seed", lambda: self._merged(list(index), blobs, marks, read=False))

    def claim(
        self,
        object_ids: Sequence[str],
        candids: Int64,
        positions: Sequence[tuple[TopicPartition, int]],
    ) -> Claims:
        """Claim each candid for its position; the first claim wins, a replay keeps it."""
        values = [f"{tp.topic}/{tp.partition}/{offset}".encode() for tp, offset in positions]

        def queue(pipe: Any) -> None:
            for name, candid, value in zip(object_ids, candids.tolist(), values, strict=True):
                key = f"{self._prefix}claim:{self._group}:{{{name}}}:{candid}"
                keys = key, self._emissions_key(name)
                pipe.evalsha(self._claim_sha, len(keys), *keys, value, self._claim_ttl_s)

        answers = self._call("claim", lambda: self._scripted(queue))
        first = [mine == holder for mine, (holder, _) in zip(values, answers, strict=True)]
        emissions = [_emissions(found) for _, found in answers]
        return Claims(first=np.array(first, dtype=bool), emissions=emissions)

    def remember(
        self, object_ids: Sequence[str], candids: Int64, jds: Float64, ps: Float64
    ) -> None:
        """Add emissions after their commit; the newest 32 per object are kept."""

        def call() -> None:
            pipe = self._client.pipeline(transaction=False)
            rows = zip(object_ids, candids.tolist(), jds.tolist(), ps.tolist(), strict=True)
            for name, candid, jd, p in rows:
                key = self._emissions_key(name)
                pipe.zadd(key, {f"{candid} {p!r}": jd})
                pipe.zremrangebyrank(key, 0, -MAX_EMISSIONS - 1)
                pipe.expire(key, self._ttl_s)
            pipe.execute()

        self._call("remember", call)

    def marks(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        """The lowest mark of each partition, None where any of the 16 is missing."""
        return self._marks.noted(
            partitions, self._call("marks", lambda: self._marks.read(self._client, partitions))
        )

    def servers(self) -> list[ServerFacts]:
        """Every server that holds state, for `check`."""
        facts: list[ServerFacts] = self._call(
            "info", lambda: servers(self._client, self._marks.keys)
        )
        return facts

    def memos(self) -> Memos:
        """The memos that the workers of this prefix share."""
        return Memos(self._client, self._prefix)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _emissions_key(self, name: str) -> str:
        return f"{self._prefix}emit:{self._group}:{{{name}}}"

    def _blobs(
        self, points: Any, band: UInt8, owners: Sequence[str], index: Mapping[str, int]
    ) -> list[bytes]:
        """The records of each (object, band) as one string, one value per candid."""
        objects = len(index)
        owner = np.array([index[name] for name in owners], dtype=np.int64)
        cell = owner * len(BANDS) + band - min(BANDS)
        order = np.lexsort((points["candid"], points["jd"], cell))
        points, cell = np.take(points, order), cell[order]
        bounds = np.searchsorted(cell, np.arange(objects * len(BANDS) + 1))
        raw = points.tobytes()
        blobs = [raw[a:b] for a, b in pairwise((bounds * points.itemsize).tolist())]
        for number in _with_repeats(cell, points["candid"]):
            group = points[bounds[number] : bounds[number + 1]]
            blobs[number] = merge_points(group, self._max_points).tobytes()
        return blobs

    def _merged(
        self, names: Sequence[str], blobs: Sequence[bytes], marks: Raising, *, read: bool
    ) -> list[Any]:
        """A merge per object, what they then hold if that is to be read, the marks at last."""

        def queue(pipe: Any) -> None:
            for number, name in enumerate(names):
                keys = self._curve_keys([name])
                records = blobs[number * len(BANDS) : (number + 1) * len(BANDS)]
                limits = self._max_points, self._ttl_s
                pipe.evalsha(self._merge_sha, len(keys), *keys, *limits, *records)

        reading = [lambda pipe: self._queue_reading(pipe, names)] if read else []
        return self._scripted(queue, *reading, lambda pipe: marks.queue(pipe, self._marks_sha))

    def _curve_keys(self, names: Iterable[str]) -> list[str]:
        """The keys of each object's bands, in turn."""
        return [f"{self._prefix}lc:{{{name}}}:{band}" for name in names for band in BANDS]

    def _queue_reading(self, pipe: Any, names: Sequence[str]) -> None:
        """Read all bands of these objects; only keys of one slot go into one command."""
        step = 1 if isinstance(self._client, Cluster) else READ_AT_ONCE
        for at in range(0, len(names), step):
            pipe.mget(self._curve_keys(names[at : at + step]))

    def _scripted(self, *queues: Callable[[Any], None]) -> list[Any]:
        """The answers to script calls, which may be repeated as a whole."""
        if not self._merge_sha:
            self._load_scripts()
        try:
            return self._sent(queues)
        except redis.exceptions.NoScriptError:
            # The server was restarted, or a replica took over that never had them.
            self._load_scripts()
            return self._sent(queues)

    def _sent(self, queues: Sequence[Callable[[Any], None]]) -> list[Any]:
        """One pipeline; a cluster gets one for each, in turn: it may redirect, out of order."""
        answers: list[Any] = []
        pipe = self._client.pipeline(transaction=False)
        for queue in queues:
            queue(pipe)
            if isinstance(self._client, Cluster):
                answers += pipe.execute()
        return answers + list(pipe.execute())

    def _load_scripts(self) -> None:
        load = self._client.script_load
        self._claim_sha, self._marks_sha = load(self._claim_script), load(self._marks_script)
        self._merge_sha = load(self._merge_script)

    def _call(self, operation: str, call: Callable[[], Any]) -> Any:
        return translated(operation, call)


def _emissions(found: Sequence[bytes]) -> list[Emission]:
    """From a sorted set's members ("candid p") and scores (jd), in turn."""
    members = (member.decode().split(" ") for member in found[::2])
    pairs = zip(members, found[1::2], strict=True)
    return [Emission(int(candid), float(jd), float(p)) for (candid, p), jd in pairs]


def _with_repeats(cell: Int64, candid: Int64) -> list[int]:
    """Cells in which a candid occurs more than once."""
    order = np.lexsort((candid, cell))
    cell, candid = cell[order], candid[order]
    again = (cell[1:] == cell[:-1]) & (candid[1:] == candid[:-1])
    cells: list[int] = np.unique(cell[1:][again]).tolist()
    return cells
