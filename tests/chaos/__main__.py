"""`python -m tests.chaos --seeds 3 --report FILE`: the long run, with a report."""

import argparse
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.chaos.campaign import Outcome, run_campaign
from tests.chaos.faults import schedule
from tests.chaos.report import write_report
from tests.kafka_server import kafka_home
from tests.redis_server import redis_binary


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=1, help="campaigns that run side by side")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--kinds", type=int, default=2, help="injections of each kind and seed")
    parser.add_argument("--kills", type=int, default=18, help="SIGKILLs between steps, per seed")
    parser.add_argument("--objects", type=int, default=1500)
    parser.add_argument("--rate", type=float, default=25.0, help="packets per second")
    parser.add_argument("--only", action="append", help="only this kind; repeatable")
    parser.add_argument("--report", type=Path)
    parser.add_argument(
        "--outcomes", type=Path, help="a folder with a file per seed; the report tells of them all"
    )
    parser.add_argument("--logs", type=Path, help="keep servers' data and logs here")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    outcomes = []
    with ThreadPoolExecutor(options.at_once) as pool:
        for outcome in pool.map(partial(one, options), seeds):
            outcomes.append(outcome)
            print(outcome, flush=True)
            kept = remembered(options.outcomes, outcome) if options.outcomes else outcomes
            if options.report:
                options.report.write_text(write_report(kept), encoding="utf-8")
    total = sum((outcome.injected for outcome in outcomes), Counter())
    print(f"{total.total()} faults, {'clean' if all(o.clean for o in outcomes) else 'NOT CLEAN'}")
    return 0 if all(outcome.clean for outcome in outcomes) else 1


def one(options, seed):
    """The campaign of one seed."""
    order = schedule(seed, options.kinds, options.kills)
    if options.only:
        order = [fault for fault in order if fault[0] in options.only]
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as scratch:
        folder = (options.logs or Path(scratch)) / str(seed)
        try:
            return run_campaign(
                folder, kafka_home(), redis_binary(), seed, order,
                objects=options.objects, per_second=options.rate, say=say,
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - the other seeds go on
            return Outcome(seed, failed=[f"the campaign broke off: {error!r}"])


def remembered(folder, outcome):
    """Keep an outcome; those of all seeds that were ever kept there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{outcome.seed}.json").write_text(outcome.as_json(), encoding="utf-8")
    files = sorted(folder.glob("*.json"), key=lambda file: int(file.stem))
    return [Outcome.from_json(file.read_text(encoding="utf-8")) for file in files]


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
