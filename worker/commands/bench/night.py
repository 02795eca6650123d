"""The benchmark's input: packets multiplied into a night, and the histories seeded before it."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
from numpy.typing import NDArray

from worker.decode.framing import read_blocks, read_header
from worker.simulate import scattered_letters, simulate_packets
from worker.types.light_curves import POINT, PointFlag

POOL_OBJECTS = 150
"""Simulated objects whose packets are multiplied where no files are given."""

FIRST_CANDID = 1_200_000_000_000_000_000
NAME_TAIL = 7
REPEAT_DAYS = 0.02
"""A second alert of an object comes half an hour after its first."""

HISTORY_GAP_DAYS = 31.0
HISTORY_SPAN_DAYS = 700.0
SEED_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Template:
    """A packet and where its identity lies: every clone differs there and nowhere else."""

    value: bytes
    name: str
    name_at: int
    candid_at: Sequence[int]
    jd: float
    jd_at: Sequence[int]

    def clone(self, number: int, repeat: int) -> tuple[str, bytes]:
        """The name and bytes of clone `number` of the night, the `repeat`-th of its object."""
        name = self.name[:-NAME_TAIL] + scattered_letters(number, 0)
        copy = bytearray(self.value)
        copy[self.name_at : self.name_at + len(name)] = name.encode()
        candid = zigzag(FIRST_CANDID + 10 * number + repeat)
        for at in self.candid_at:
            copy[at : at + len(candid)] = candid
        jd = np.float64(self.jd + repeat * REPEAT_DAYS).tobytes()
        for at in self.jd_at:
            copy[at : at + len(jd)] = jd
        return name, bytes(copy)


def templates(paths: Sequence[Path], seed: int) -> list[Template]:
    """Templates of the packets in these files, or of a simulated night where there are none.

    What can't be multiplied byte by byte (compressed, short names or candids) is left out;
    ValueError when nothing is left.
    """
    values = [path.read_bytes() for path in paths] if paths else _simulated(seed)
    found = [template for value in values if (template := _template(value)) is not None]
    if not found:
        raise ValueError("no packet that can be multiplied")
    return found


def night(pool: Sequence[Template], alerts: int, objects: int) -> Iterator[tuple[str, bytes]]:
    """Names and packets of a night; objects alert once, then the first of them again."""
    for number in range(alerts):
        repeat, owner = divmod(number, objects)
        yield pool[owner % len(pool)].clone(owner, repeat)


def histories(
    pool: Sequence[Template], objects: int, median: float, p95: float, seed: int
) -> Iterator[tuple[list[str], NDArray[np.void], NDArray[np.uint8]]]:
    """Detections of the objects before the night, in chunks: name, record and band of each.

    Points per band follow a log-normal of this median and 95th percentile (equal: all the same).
    """
    rng = np.random.default_rng([seed, 2])
    sigma = np.log(p95 / median) / 1.6449
    for first in range(0, objects, SEED_CHUNK):
        owners = np.arange(first, min(first + SEED_CHUNK, objects))
        sizes = np.rint(median * np.exp(sigma * rng.standard_normal((len(owners), 2))))
        counts = np.clip(sizes, 1, 500).astype(np.int64).ravel()
        names = [
            pool[n % len(pool)].name[:-NAME_TAIL] + scattered_letters(n, 0) for n in owners.tolist()
        ]
        ends = np.array([pool[n % len(pool)].jd for n in owners.tolist()]).repeat(2)
        points = _points(rng, counts, ends - HISTORY_GAP_DAYS, first)
        band = np.tile(np.array([1, 2], dtype=np.uint8), len(owners)).repeat(counts)
        curve_names = [name for name in names for _ in (1, 2)]
        owner = np.repeat(np.arange(len(counts)), counts)
        yield [curve_names[row] for row in owner.tolist()], points, band


def zigzag(number: int) -> bytes:
    """A non-negative long as Avro writes it."""
    number <<= 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _simulated(seed: int) -> list[bytes]:
    from models.night import plan_night

    plan = plan_night(seed, POOL_OBJECTS)
    return list(simulate_packets(seed, plan.objects, plan.planted).packets)


def _template(value: bytes) -> Template | None:
    try:
        header = read_header(value)
        list(read_blocks(value, header))  # framing that the worker would refuse
        record: Any = next(fastavro.reader(io.BytesIO(value)))
        name, candid = record["objectId"], record["candidate"]["candid"]
        jd = record["candidate"]["jd"]
    except Exception:  # noqa: BLE001 - the pool is made of what any reader can read
        return None
    written = zigzag(candid) if candid >= 0 else b""
    if (
        header.codec != "null"
        or len(name) <= NAME_TAIL
        or len(written) != len(zigzag(FIRST_CANDID))
    ):
        return None
    return Template(
        value=value,
        name=name,
        name_at=value.index(name.encode(), header.end),
        candid_at=_places(value, written, header.end),
        jd=jd,
        jd_at=_places(value, np.float64(jd).tobytes(), header.end),
    )


def _places(value: bytes, part: bytes, start: int) -> list[int]:
    places = []
    at = value.find(part, start)
    while at >= 0:
        places.append(at)
        at = value.find(part, at + len(part))
    return places


def _points(
    rng: np.random.Generator, counts: NDArray[np.int64], ends: NDArray[np.float64], first: int
) -> NDArray[np.void]:
    """Detections of a variable star per curve, from HISTORY_SPAN_DAYS before to its end."""
    total = int(counts.sum())
    curve = np.repeat(np.arange(len(counts)), counts)
    points = np.zeros(total, dtype=POINT)
    points["candid"] = FIRST_CANDID // 2 + first * 1_000_000 + np.arange(total)
    days = rng.uniform(0, HISTORY_SPAN_DAYS, total)
    points["jd"] = ends[curve] - days[np.lexsort((-days, curve))]  # candids rise with time
    points["known_since"] = points["jd"]
    period = rng.uniform(0.3, 30.0, len(counts))[curve]
    shape = 0.4 * np.sin(2 * np.pi * points["jd"] / period)
    points["magpsf"] = np.round(18.0 + shape + 0.05 * rng.standard_normal(total), 4)
    points["sigmapsf"] = 0.05
    points["magnr"], points["sigmagnr"], points["distnr"] = 17.5, 0.02, 0.3
    points["rb"], points["drb"], points["programid"] = 200, 225, 1
    points["flags"] = PointFlag.POSITIVE | PointFlag.OWN
    return points
