"""`python -m tests.chaos.cost`: what 1 % of hostile packets cost, in CPU seconds per record.

One worker, blocks of the same packets, every second block with hostile ones among them; the
median of the pairs counts. Prints one JSON line; fails when the cost is 5 % or more or when a
dead letter is missing or has the wrong reason.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.chaos.traffic import EXPECT
from tests.chaos.world import INPUT, OUT, World, wait
from worker.kafka import read_all
from worker.topics import Topics

LARGEST_COST = 0.05
TICKS = os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--records", type=int, default=1000, help="good packets per block")
    options = parser.parse_args()
    from tests.kafka_server import kafka_home  # noqa: PLC0415 - beside its use
    from tests.redis_server import redis_binary  # noqa: PLC0415 - beside its use

    with tempfile.TemporaryDirectory(prefix="cost-", ignore_cleanup_errors=True) as folder:
        world = World(Path(folder), kafka_home(), redis_binary(), seed=1, objects=400, per_second=1)
        try:
            result = measured(world, options.pairs, options.records)
        finally:
            world.close()
    print(json.dumps(result))
    return 0 if result["cost"] < LARGEST_COST and not result["wrong"] else 1


def measured(world, pairs, records):
    """Medians over interleaved pairs, and what is wrong with the dead letters."""
    pid = world.spawn("0", "--set", "batch.max_records=256")
    values = world.traffic.packets()[:records]
    block(world, pid, values, hostile=False)  # warm-up: every schema, every shape
    found = [
        (block(world, pid, values, hostile=False), block(world, pid, values, hostile=True))
        for _ in range(pairs)
    ]
    ratios = [hostile / clean for clean, hostile in found]
    letters = dead_letters(world)
    return {
        "records_per_block": len(values),
        "clean_s_per_record": statistics.median(clean for clean, _ in found),
        "hostile_s_per_record": statistics.median(hostile for _, hostile in found),
        "cost": statistics.median(ratios) - 1,
        "costs": [round(ratio - 1, 4) for ratio in ratios],
        "dead_letters": letters.total(),
        "wrong": letters["wrong"] + abs(letters.total() - pairs * -(-len(values) // 100)),
    }


def block(world, pid, values, *, hostile):
    """CPU seconds per record of the worker for one block."""
    before, sent = cpu_s(pid), world.traffic.sent
    world.traffic.send_all(values, hostile_every=100 if hostile else 0)
    wait(lambda: (world.committed() or 0) >= world.traffic.sent, 600, "the end of a block")
    return (cpu_s(pid) - before) / (world.traffic.sent - sent)


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def dead_letters(world):
    """How many have the reason that their input expects, and how many have not."""
    config = {"bootstrap.servers": world.kafka.bootstrap}
    expected = {
        (read.partition.partition, read.offset): dict(read.headers).get(EXPECT)
        for read in read_all(config, INPUT)
    }
    found = Counter()
    for letter in read_all(config, Topics(OUT).dead_letters):
        headers = dict(letter.headers)
        where = int(headers["input_partition"]), int(headers["input_offset"])
        found["right" if expected[where] == headers["reason"] else "wrong"] += 1
    return found


if __name__ == "__main__":
    sys.exit(main())
