"""How much of everything a survey needs, from measured costs.

    python deploy/capacity.py ztf
    python deploy/capacity.py lsst --alerts-per-s 400
    python deploy/capacity.py --json mine --alerts-per-night 1e6 --objects 1e8 --points 300

The costs are measured where you run the worker, and given as options:

    anomaly-worker bench pipeline --json     alerts_per_s and cores: --cpu-rate = their quotient
    the same on a machine with a GPU         --gpu-rate = alerts_per_s with one GPU; without
                                             it GPUs are left out of the plan
    redis-cli info memory, after `seed`      bytes used = objects (--object-bytes + points
                                             --bytes-per-point); the defaults are measured
"""

import argparse
import json
import math
from dataclasses import asdict, dataclass, replace

HEADROOM = 0.6
"""A worker is planned at this share of what it can do: rebalances, catch-up, a lost node."""

MEMORY_HEADROOM = 0.6
"""Redis is planned at this share of a node: fork at a snapshot, fragmentation."""

POINT_BYTES = 51
OBJECT_BYTES = 280
"""Of an object in two bands; a test compares both with what a real Redis uses."""


@dataclass(frozen=True)
class Survey:
    """What comes in. `peak`: highest rate of a minute, alerts/s; `points` per object, all bands."""

    name: str
    alerts_per_night: float
    peak: float
    objects: float
    points: float
    packet_bytes: float


SURVEYS = (
    # Assumed: 5e7 objects within the state's 400 days, most of them with few points.
    Survey("ztf", 3e5, 60, 5e7, 30, 70_000),
    # Design: 10,000 alerts a visit of 38 s, 1e7 a night, 82 kB each. Objects and points assumed.
    Survey("lsst", 1e7, 270, 4e8, 40, 82_000),
    Survey("lsst-x10", 1e8, 2700, 4e9, 40, 82_000),
)


@dataclass(frozen=True)
class Costs:
    """What one unit does. Rates in alerts/s; `object_bytes`: keys and expiry of an object."""

    cpu_rate: float
    gpu_rate: float | None
    redis_rate: float
    bytes_per_point: float
    object_bytes: float
    node_gib: float


@dataclass(frozen=True)
class Plan:
    """What to set up. Each Redis master wants a replica of the same size beside it."""

    survey: str
    peak_alerts_per_s: float
    partitions: int
    cpu_cores: int
    gpu_workers: int | None
    redis_memory_gib: float
    redis_masters: int
    kafka_in_mb_per_s: float
    lag_after_10_min_outage_s: float


def plan(survey: Survey, costs: Costs) -> Plan:
    """Partitions, workers and memory, each for the peak with headroom."""
    cores = math.ceil(survey.peak / (costs.cpu_rate * HEADROOM))
    gpus = math.ceil(survey.peak / (costs.gpu_rate * HEADROOM)) if costs.gpu_rate else None
    stored = survey.objects * (survey.points * costs.bytes_per_point + costs.object_bytes)
    memory_gib = stored / MEMORY_HEADROOM / 2**30
    by_memory = memory_gib / costs.node_gib
    by_rate = survey.peak / (costs.redis_rate * HEADROOM)
    nodes = math.ceil(max(by_memory, by_rate))
    # Twice the workers of the slower kind: a partition is never split, and is fixed for life.
    partitions = max(15, 2 * cores)
    spare = cores * costs.cpu_rate - survey.peak
    return Plan(
        survey.name,
        survey.peak,
        partitions,
        cores,
        gpus,
        round(memory_gib, 1),
        # A cluster has three masters or none.
        nodes if nodes == 1 else max(3, nodes),
        round(survey.peak * survey.packet_bytes / 1e6, 1),
        round(600 * survey.peak / spare),
    )


def main() -> None:
    """Print a plan per survey."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("survey", nargs="*", default=[s.name for s in SURVEYS])
    parser.add_argument("--alerts-per-night", type=float)
    parser.add_argument("--alerts-per-s", type=float, help="highest rate of a minute")
    parser.add_argument("--objects", type=float, help="objects with state")
    parser.add_argument("--points", type=float, help="stored points per object, all bands")
    parser.add_argument("--cpu-rate", type=float, required=True, help="alerts/s of one core")
    parser.add_argument("--gpu-rate", type=float, help="alerts/s of a GPU worker")
    parser.add_argument("--redis-rate", type=float, default=7000, help="merges/s of one node")
    parser.add_argument("--bytes-per-point", type=float, default=POINT_BYTES)
    parser.add_argument("--object-bytes", type=float, default=OBJECT_BYTES)
    parser.add_argument("--node-gib", type=float, default=128, help="memory of one Redis node")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    costs = Costs(chosen.cpu_rate, chosen.gpu_rate, chosen.redis_rate, chosen.bytes_per_point,
                  chosen.object_bytes, chosen.node_gib)  # fmt: skip
    plans = [plan(_changed(name, chosen), costs) for name in chosen.survey]
    if chosen.json:
        print(json.dumps([asdict(each) for each in plans]))
    else:
        _print_table(plans)


def _changed(name: str, chosen: argparse.Namespace) -> Survey:
    known = {survey.name: survey for survey in SURVEYS}
    base = known.get(name, replace(SURVEYS[0], name=name))
    changes = {
        "alerts_per_night": chosen.alerts_per_night, "peak": chosen.alerts_per_s,
        "objects": chosen.objects, "points": chosen.points,
    }  # fmt: skip
    return replace(base, **{key: value for key, value in changes.items() if value is not None})


def _print_table(plans: list[Plan]) -> None:
    rows = [asdict(each) for each in plans]
    names = list(rows[0])
    print("| " + " | ".join(name.replace("_", " ") for name in names) + " |")
    print("|" + "---|" * len(names))
    for row in rows:
        cells = [f"{row[name]:,}" if isinstance(row[name], (int, float)) else row[name] or "-"
                 for name in names]  # fmt: skip
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
