"""What is missing or wrong at the start: one clear line, the right exit code, nothing lost."""

import io
import json
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.e2e.harness import ROOT, command, create_topic, run_arguments
from tests.processes import free_ports, wait_until

INPUT = ["--set", 'source.topics=["alerts"]']


def nowhere():
    """An address that nobody listens on."""
    return f"127.0.0.1:{free_ports(1)[0]}"


@pytest.mark.parametrize(
    ("arguments", "expected", "message"),
    [
        (["--set", "nonsense.key=1"], 78, "nonsense"),
        (["--set", "redis.nonsense=1"], 78, "redis.nonsense"),
        (["--set", "output.min_percentile=200"], 78, "output.min_percentile"),
        (["--set", "kafka.producer.acks=1"], 78, "acks belongs to the worker"),
        (["--config", "nowhere.toml"], 78, "can't read nowhere.toml"),
        (INPUT, 78, "kafka.common.bootstrap.servers is not set"),
        (["--set", "kafka.common.bootstrap.servers=localhost:1"], 78, "source.topics"),
    ],
)
def test_settings_that_can_not_work(arguments, expected, message):
    code, out, error = command("run", *arguments)
    assert code == expected
    assert message in error
    assert error.count("\n") == 1
    assert out == ""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_that_is_stopped_before_it_has_begun_ends_with_0():
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "run", *INPUT, "--set",
         f"kafka.common.bootstrap.servers={nowhere()}"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    status = Path(f"/proc/{process.pid}/status")
    wait_until(lambda: catches_term(status), 20, "a handler of TERM")
    process.terminate()
    assert (process.communicate(timeout=30)[1], process.returncode) == ("", 0)


def catches_term(status):
    (caught,) = re.findall(r"^SigCgt:\s*(\w+)", status.read_text(), re.MULTILINE)
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_no_broker():
    code, _, error = command(
        "run", *INPUT, "--set", f"kafka.common.bootstrap.servers={nowhere()}"
    )  # fmt: skip
    assert code == 69
    assert "kafka" in error.splitlines()[-1]


def test_no_redis(kafka_bootstrap, unique):
    create_topic(kafka_bootstrap, unique, 1)
    arguments = run_arguments(
        kafka_bootstrap, f"redis://{nowhere()}/0", topic=unique, out=f"{unique}.out", group=unique
    )
    code, _, error = command("run", *arguments)
    assert code == 69
    assert "redis" in error.splitlines()[-1]


def test_no_model(kafka_bootstrap, redis_url, unique, tmp_path):
    create_topic(kafka_bootstrap, unique, 1)
    arguments = run_arguments(
        kafka_bootstrap, redis_url, topic=unique, out=f"{unique}.out", group=unique,
        model__path=str(tmp_path),
    )  # fmt: skip
    code, _, error = command("run", *arguments)
    assert code == 78
    assert "no artefact" in error.splitlines()[-1]


def test_an_archive_with_broken_packets_is_scored_all_the_same(tmp_path):
    night = tmp_path / "night.tar.gz"
    assert command("simulate", str(night), "--objects", "40", "--seed", "5")[0] == 0
    spoiled = tmp_path / "spoiled.tar.gz"
    values = [b"", b"no Avro", *members(night)]
    write_archive(spoiled, values)
    code, out, error = command("score", str(spoiled), "--json")
    assert code == 0, error
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows
    order = [(row["p"] if row["p"] is not None else row["p_provisional"]) for row in rows]
    assert order == sorted(order)
    assert error.count("not_avro") >= 2


def members(path):
    with tarfile.open(path) as archive:
        return [archive.extractfile(member).read() for member in archive]


def write_archive(path, values):
    with tarfile.open(path, "w:gz") as archive:
        for number, value in enumerate(values):
            member = tarfile.TarInfo(f"{number:05d}.avro")
            member.size = len(value)
            archive.addfile(member, io.BytesIO(value))
