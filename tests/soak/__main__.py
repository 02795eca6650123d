"""`python -m tests.soak --minutes 10 --report FILE`: does a worker stay as large as it is?

One worker process as in production, a steady stream, a sample every few seconds: resident
memory, handles, threads; at the end the p99 of the time from the input's timestamp to the
acknowledged output. Fails when memory still grows after the warm-up.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np

from tests.chaos.traffic import Traffic
from tests.e2e.harness import Worker, create_topic, run_arguments, wait_until, workers
from tests.kafka_server import KafkaServer, kafka_home
from tests.processes import free_ports
from tests.redis_server import RedisServer, redis_binary

LARGEST_SLOPE = 1.0
"""MiB per minute after the warm-up."""

SAMPLE_S = 5.0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--warm-up", type=float, default=3, help="minutes that do not count")
    parser.add_argument("--rate", type=float, default=20, help="packets per second")
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as folder:
        samples, p99_s = soaked(Path(folder), options)
    result = judged(samples, options.warm_up * 60, p99_s)
    print(json.dumps(result))
    if options.report:
        rows = [",".join(map(str, sample)) for sample in samples]
        text = "seconds,resident_mib,handles,threads,records\n" + "\n".join(rows)
        options.report.write_text(text + "\n", encoding="utf-8")
    return 0 if result["flat"] else 1


def soaked(folder, options):
    """Samples (seconds, MiB, handles, threads, records) and the p99 at the end."""
    kafka = KafkaServer(folder / "kafka", kafka_home()).start()
    store = RedisServer(folder / "redis", redis_binary()).start()
    create_topic(kafka.bootstrap, "soak.in", 4)
    objects = int(options.minutes * 60 * options.rate / 6) + 50
    traffic = Traffic(kafka.bootstrap, "soak.in", 1, objects, options.rate, backlog=10**9)
    (port,) = free_ports(1)
    arguments = run_arguments(
        kafka.bootstrap, store.url, topic="soak.in", out="soak.out", group="soak",
        source__survey="simulated", worker__metrics_port=str(port),
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}/metrics"
    with workers(Worker(folder / "log", arguments)) as (worker,):
        traffic.start()
        wait_until(lambda: records(url), 300, "the first records", worker)
        samples = list(sampled(worker.process.pid, url, options.minutes * 60))
        p99_s = p99(scraped(url))
        traffic.stop()
        assert worker.drain() == 0, worker.tail()
    store.stop()
    kafka.stop()
    return samples, p99_s


def sampled(pid, url, seconds):
    begin = time.monotonic()
    while (now := time.monotonic() - begin) < seconds:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        handles = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - links that may be gone
        mib = int(status["VmRSS"].split()[0]) / 1024
        yield round(now, 1), round(mib, 2), handles, int(status["Threads"]), records(url)
        time.sleep(SAMPLE_S)


def judged(samples, warm_up_s, p99_s):
    kept = np.array([sample for sample in samples if sample[0] >= warm_up_s], dtype=float)
    slope = np.polyfit(kept[:, 0] / 60, kept[:, 1], 1)[0]
    return {
        "minutes": round(samples[-1][0] / 60, 1),
        "records": samples[-1][4],
        "resident_mib": [kept[0, 1], kept[-1, 1]],
        "slope_mib_per_min": round(float(slope), 3),
        "handles": [int(kept[:, 2].min()), int(kept[:, 2].max())],
        "threads": [int(kept[:, 3].min()), int(kept[:, 3].max())],
        "p99_s": p99_s,
        "flat": bool(slope < LARGEST_SLOPE),
    }


def scraped(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def records(url):
    lines = scraped(url).splitlines()
    name = "anomaly_worker_alerts_total{"
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith(name)))


def p99(text):
    """Upper end of the bucket that holds the 99th percentile, seconds."""
    name = "anomaly_worker_end_to_end_seconds_bucket{le="
    buckets = [
        (float(line.split('"')[1]), float(line.split()[-1]))
        for line in text.splitlines()
        if line.startswith(name)
    ]
    total = buckets[-1][1]
    return next(bound for bound, count in buckets if count >= 0.99 * total)


if __name__ == "__main__":
    sys.exit(main())
