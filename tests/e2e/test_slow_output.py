"""The broker takes the output slowly: the worker waits, keeps its membership and loses nothing."""

import os
import re
import subprocess
import urllib.request

import pytest

from models.night import plan_night
from tests.e2e.harness import (
    Worker,
    command,
    create_topic,
    produce,
    run_arguments,
    settled,
    wait_until,
    workers,
)
from tests.kafka_server import kafka_home
from tests.processes import free_ports
from worker.simulate import simulate_packets

SLOW = 5_000
"""Bytes per second that the broker lets the worker's producer write.

It forgives ten seconds' worth, and as much again after a pause: at this rate the output of the
night, 260 kB, is slow however a busy machine cuts it into batches.
"""


@pytest.fixture
def throttled(kafka_bootstrap, unique, tmp_path):
    """A client id whose output the broker slows down."""
    home = kafka_home() or pytest.skip("no Apache Kafka's own tools")
    subprocess.run(
        [home / "bin" / "kafka-configs.sh", "--bootstrap-server", kafka_bootstrap, "--alter",
         "--add-config", f"producer_byte_rate={SLOW}", "--entity-type", "clients",
         "--entity-name", unique],
        env={**os.environ, "LOG_DIR": str(tmp_path)}, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return unique


def test_slow_output_is_lag_and_nothing_else(
    kafka_bootstrap, redis_url, throttled, unique, tmp_path
):
    plan = plan_night(8, 30)
    packets = simulate_packets(8, plan.objects, plan.planted).packets
    out, (port,) = f"{unique}.out", free_ports(1)
    create_topic(kafka_bootstrap, unique, 2)
    produce(kafka_bootstrap, unique, [(None, packet) for packet in packets])
    arguments = run_arguments(
        kafka_bootstrap, redis_url, topic=unique, out=out, group=unique,
        source__survey="simulated", output__min_percentile="80", batch__max_records="40",
        worker__metrics_port=str(port), kafka__producer__client__id=throttled,
        kafka__consumer__session__timeout__ms="6000",
    )  # fmt: skip
    with workers(Worker(tmp_path / "log", arguments)) as (worker,):
        wait_until(lambda: settled(kafka_bootstrap, out) >= len(packets), 120, "the books", worker)
        # The books show a commit before the slowed answer to it reaches the worker.
        wait_until(lambda: waited(port) > 8, 60, "slow output", worker)
        text = scraped(port)
        assert worker.drain() == 0, worker.tail()
    assert value(text, "rebalances_total") <= 1
    assert value(text, "aborted_batches_total") == 0
    code, said, error = command("ledger", *arguments)
    assert code == 0, said + error


def scraped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return answer.read().decode()


def waited(port):
    """Seconds that the worker spent in commits which have ended."""
    return value(scraped(port), 'stage_seconds_sum{stage="commit"}')


def value(text, name):
    found = re.findall(rf"^anomaly_worker_{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))
