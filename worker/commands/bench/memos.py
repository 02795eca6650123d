"""The period blocks that a running system would remember when the benchmark's night begins."""

import threading
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import redis

BATCH = 512
SCRATCH = "bench-scratch:"


def seed_memos(values: Sequence[str], night: Any) -> int:
    """Remember each object's block as of the alert before its first; the number computed.

    That alert is not in the input, so its curve is the packet's own without the newest point,
    from a state that is filled for this and thrown away.
    """
    from models.features import period_features
    from models.memo import PeriodMemo
    from worker.commands.bench.field import seed_state
    from worker.commands.bench.memory import MemorySource
    from worker.commands.bench.stub import StubScorer
    from worker.commands.wiring import connect_store, make_decoder, make_rules
    from worker.config import load_settings
    from worker.cuts import judge_packets
    from worker.light_curve import light_curves
    from worker.window import cut_windows

    settings = load_settings(None, values).settings
    scratch = [*values, f"redis.prefix={SCRATCH}"]
    seed_state(scratch, night)
    live, store = (connect_store(load_settings(None, v).settings) for v in (values, scratch))
    decoder, policy = make_decoder(settings), make_rules(settings, StubScorer()).window
    memo = PeriodMemo(live.memos())
    values_of_objects = (value for _, value in islice(night.packets(), night.objects))
    source = MemorySource(values_of_objects, BATCH, threading.Event())
    while len(records := source.poll_batch()):
        packets, _ = decoder.decode(records)
        kept = np.array([fate is None for fate in judge_packets(packets, policy.cuts)], dtype=bool)
        curves = light_curves(packets, store.merge(packets, kept, {}))
        windows, _ = cut_windows(packets, curves, np.flatnonzero(kept).astype(np.int32), policy)
        older = np.ones(len(windows.jd), dtype=bool)
        older[windows.offsets[1:] - 1] = False
        offsets = windows.offsets - np.arange(len(windows.offsets))
        period_features(offsets, windows.jd[older], windows.mag[older], windows.err[older], memo)
    live.close()
    store.close()
    with redis.Redis.from_url(settings.redis_url) as client:
        for key in client.scan_iter(f"{SCRATCH}*", 10_000):
            client.unlink(key)
    return memo.misses
