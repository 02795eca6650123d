"""What an orchestrator and a monitor see of running workers."""

import json
import shutil
import signal
import subprocess
import threading
import urllib.error
import urllib.request

import pytest
import torch

from models.night import plan_night
from models.scorer import Scorer as ModelScorer
from tests.e2e.harness import Worker, create_topic, produce, run_arguments, settled, wait_until
from tests.e2e.harness import workers as ended
from tests.processes import free_ports
from worker.commands.device import DeviceLostError
from worker.commands.run import run_worker
from worker.config import load_settings
from worker.errors import ExitCode
from worker.metrics import Metrics
from worker.simulate import simulate_packets

PARTITIONS = 4


def get(port, path):
    """Status and body; (0, "") while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


@pytest.fixture
def packets():
    plan = plan_night(3, 30)
    return simulate_packets(3, plan.objects, plan.planted).packets


@pytest.fixture
def arguments(kafka_bootstrap, redis_url, unique):
    create_topic(kafka_bootstrap, unique, PARTITIONS)

    def make(port):
        return run_arguments(
            kafka_bootstrap, redis_url, topic=unique, out=f"{unique}.out", group=unique,
            source__survey="simulated", worker__metrics_port=str(port), batch__max_wait_s="0.1",
        )  # fmt: skip

    return make


def test_one_worker_from_start_to_drain(arguments, packets, kafka_bootstrap, unique, tmp_path):
    (port,) = free_ports(1)
    with ended(Worker(tmp_path / "log", arguments(port))) as (worker,):
        wait_until(lambda: get(port, "/readyz")[0] == 200, 60, "the worker to be ready", worker)
        assert get(port, "/healthz")[0] == 200
        produce(kafka_bootstrap, unique, [(None, packet) for packet in packets])
        wait_until(
            lambda: settled(kafka_bootstrap, f"{unique}.out") == len(packets), 60, "books", worker
        )
        version = json.loads(get(port, "/version")[1])
        assert len(version["model"]["sha256"]) == 64
        assert version["slot"] == "0"
        wait_until(lambda: _assigned(port) == 2 * PARTITIONS, 10, "input and redrive topics")
        text = get(port, "/metrics")[1]
        assert f'version="{version["version"]}"' in text
        assert version["model"]["sha256"] in text
        assert total(text, "alerts_total") == len(packets)
        assert total(text, "end_to_end_seconds_count") == len(packets)
        assert total(text, "ready") == 1
        _promtool(text)
        assert worker.drain() == 0, worker.tail()
    lines = [json.loads(line) for line in worker.log.read_text().splitlines()]
    assert {"ts", "level", "event"} <= set.intersection(*(set(line) for line in lines))
    assert lines[-1]["event"] == "drained"


def test_three_workers_of_one_parent(arguments, packets, kafka_bootstrap, unique, tmp_path):
    ports = free_ports(3)[0]
    log = tmp_path / "log"
    crew = Worker(log, [*arguments(ports), "--workers", "3"])
    with ended(crew):
        produce(kafka_bootstrap, unique, [(None, packet) for packet in packets])
        wait_until(
            lambda: settled(kafka_bootstrap, f"{unique}.out") == len(packets), 120, "books", crew
        )
        slots = {json.loads(get(ports + number, "/version")[1])["slot"] for number in range(3)}
        assert slots == {"0.0", "0.1", "0.2"}
        crew.signal(signal.SIGTERM)
        assert crew.process.wait(40) == 0, crew.tail()
    assert "[0, 0, 0]" in log.read_text()


def _assigned(port):
    return total(get(port, "/metrics")[1], "assigned_partitions")


def total(text, name):
    """The sum over all labels of a metric in the exposition's text."""
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith((f"anomaly_worker_{name} ", f"anomaly_worker_{name}{{"))
    )


def _promtool(text):
    """The monitor's own opinion of our names, where it is installed."""
    if shutil.which("promtool"):
        command = ["promtool", "check", "metrics"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_device_that_fails_ends_the_worker_with_75(
    arguments, packets, kafka_bootstrap, unique, monkeypatch
):
    """In this process, so that the device can be a fake one."""
    calls = []
    real = ModelScorer.score

    def failing(self, *columns):
        calls.append(columns)
        if len(calls) > 1:  # the warm-up passes
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return real(self, *columns)

    monkeypatch.setattr(ModelScorer, "score", failing)
    produce(kafka_bootstrap, unique, [(None, packet) for packet in packets])
    settings = load_settings(None, arguments(0)[1::2]).settings
    metrics = Metrics()
    with pytest.raises(DeviceLostError, match="out of memory") as caught:
        run_worker(settings, metrics, threading.Event())
    assert caught.value.exit_code == ExitCode.TEMPORARY
    assert metrics.registry.get_sample_value("anomaly_worker_gpu_oom_total") == 1
    assert settled(kafka_bootstrap, f"{unique}.out") == 0
