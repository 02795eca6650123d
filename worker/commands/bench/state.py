"""`bench state`: what a light curve costs in Redis, in bytes and in time."""

import json
from typing import Any

import click

from worker.commands.bench.options import REDIS
from worker.commands.options import json_option, set_option
from worker.types.light_curves import POINT

PROJECTED = (10_000_000, 100_000_000)
BATCH = 1024
BANDS_SEEDED = 2


@click.command()
@click.option("--objects", default=20_000, show_default=True, type=click.IntRange(BATCH))
@click.option("--points", default=50.0, show_default=True, help="Per object and band: median.")
@click.option("--p95", default=None, type=float,
              help="Their 95th percentile; the same for every object by default.")  # fmt: skip
@REDIS
@set_option
@json_option
def state(
    objects: int,
    points: float,
    p95: float | None,
    redis_url: str | None,
    assignments: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Bytes per stored detection, claim and emission, and the rate of one merging client.

    A Redis that is named must be empty: its whole memory is counted.
    """
    from worker.commands.bench.field import Night
    from worker.commands.bench.servers import servers

    night = Night.of((), objects, points, p95 or points)
    with servers("", redis_url) as here:
        result = measure(night, here, assignments)
    click.echo(json.dumps(result) if as_json else text_of(result))


def measure(night: Any, here: Any, extra: Any) -> dict[str, Any]:
    """Fill, merge, claim, remember; the memory after each."""
    import numpy as np
    import redis

    from worker.commands.bench.field import assignments, seed_state
    from worker.commands.wiring import connect_store
    from worker.config import load_settings
    from worker.types.records import TopicPartition

    values = assignments("", here.redis_url, "state", extra)
    client: Any = redis.Redis.from_url(here.redis_url)
    store = connect_store(load_settings(None, values).settings)
    used = [_memory(client)]
    detections = seed_state(values, night)
    used.append(_memory(client))
    names = [f"ZTF26{n:07d}" for n in range(night.objects)]
    candids = np.arange(night.objects, dtype=np.int64) + 3_000_000_000_000_000_000
    where = [(TopicPartition("ztf_20260311_programid1", 3), n) for n in range(night.objects)]
    store.claim(names, candids, where)
    used.append(_memory(client))
    store.remember(names, candids, np.full(len(names), 2_461_000.5), np.full(len(names), 1e-3))
    used.append(_memory(client))
    merging = merge_rate(store, night, here.pids)
    store.close()
    curves, claims, emissions = np.diff(used).tolist()
    per_object = curves / night.objects
    return {
        "objects": night.objects,
        "detections": detections,
        "points_per_band": round(detections / night.objects / BANDS_SEEDED, 1),
        "bytes_per_detection": round(curves / detections, 2),
        "record_bytes": POINT.itemsize,
        "bytes_per_claim": round(claims / night.objects, 1),
        "bytes_per_emission": round(emissions / night.objects, 1),
        "projected_gb": {str(n): round(n * per_object / 1e9, 1) for n in PROJECTED},
        "allocator": client.info("memory")["mem_allocator"],
        **merging,
    }


def merge_rate(store: Any, night: Any, pids: Any) -> dict[str, float]:
    """Alerts per second of one client, decoding left out; processor time of both sides."""
    import threading
    import time

    import numpy as np

    from worker.commands.bench.memory import MemorySource
    from worker.commands.bench.servers import cpu_seconds
    from worker.decode import Decoder

    source = MemorySource((v for _, v in night.packets()), BATCH, threading.Event())
    batches = [Decoder().decode(source.poll_batch())[0] for _ in range(night.alerts // BATCH)]
    batches = [packets for packets in batches[:10] if len(packets)]
    store.merge(batches[0], np.ones(len(batches[0]), dtype=bool), {})
    count = sum(map(len, batches))
    redis_s = sum(cpu_seconds(pids))
    client_s, started = time.process_time(), time.perf_counter()
    for packets in batches:
        store.merge(packets, np.ones(len(packets), dtype=bool), {})
    seconds = time.perf_counter() - started
    return {
        "merged_alerts_per_s": round(count / seconds, 1),
        "merge_client_us": round(1e6 * (time.process_time() - client_s) / count, 1),
        "merge_redis_us": round(1e6 * (sum(cpu_seconds(pids)) - redis_s) / count, 1),
    }


def text_of(result: dict[str, Any]) -> str:
    """The result for people."""
    sizes = ", ".join(f"{int(n):,} objects {gb} GB" for n, gb in result["projected_gb"].items())
    return f"""\
{result["bytes_per_detection"]} bytes per detection, {result["record_bytes"]} of them the record \
({result["points_per_band"]} points per object and band, {result["allocator"]})
projected: {sizes}
{result["bytes_per_claim"]} bytes per claim, {result["bytes_per_emission"]} per emission
{result["merged_alerts_per_s"]:.0f} alerts/s merged by one client \
({result["merge_client_us"]} µs of the client, {result["merge_redis_us"]} µs of Redis)"""


def _memory(client: Any) -> int:
    return int(client.info("memory")["used_memory"])
