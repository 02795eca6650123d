import json
import re
import subprocess
import sys

import numpy as np
import pytest
import redis

from tests.deploy.conftest import ROOT, missing
from tests.redis_server import RedisServer, redis_binary
from worker.store import Store
from worker.types.light_curves import POINT

SCRIPT = str(ROOT / "deploy/capacity.py")
RATES = ("--cpu-rate", "100", "--gpu-rate", "1000")


def plans(*arguments):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--json", *RATES, *arguments],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {plan["survey"]: plan for plan in json.loads(done.stdout)}


def test_the_three_surveys():
    found = plans()
    assert list(found) == ["ztf", "lsst", "lsst-x10"]
    ztf, lsst, ten = found.values()
    assert ztf["cpu_cores"] == 1
    assert lsst["cpu_cores"] == 5  # 270 / (0.6 * 100)
    assert ten["cpu_cores"] == 45
    assert ten["gpu_workers"] == 5
    assert ten["partitions"] >= 2 * ten["cpu_cores"]
    assert ten["redis_memory_gib"] == pytest.approx(10 * lsst["redis_memory_gib"], rel=0.01)
    assert 2 not in {plan["redis_masters"] for plan in found.values()}


def test_a_survey_of_ones_own():
    small = plans("mine", "--alerts-per-s", "10", "--objects", "1e6", "--points", "20")["mine"]
    more = plans("mine", "--alerts-per-s", "10", "--objects", "1e6", "--points", "200")["mine"]
    assert small["redis_masters"] == 1
    assert more["redis_memory_gib"] > 3 * small["redis_memory_gib"]


def test_the_table_of_the_readme_is_what_the_command_prints():
    text = (ROOT / "deploy/README.md").read_text()
    (command,) = re.findall(r"^python deploy/capacity.py (--cpu-rate \d+)$", text, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, SCRIPT, *command.split()], capture_output=True, text=True, check=True
    )
    assert done.stdout in text
    assert done.stdout.count("| - |") == 3  # no rate of a GPU, no plan for it


def test_costs_are_not_guessed():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--cpu-rate" in done.stderr


def test_the_memory_is_what_redis_uses(tmp_path):
    costs = dict(
        re.findall(
            r"^(\w+_BYTES) = (\d+)$", (ROOT / "deploy/capacity.py").read_text(), re.MULTILINE
        )
    )
    server = RedisServer(tmp_path, redis_binary() or missing("Redis")).start()
    objects, points = 2000, 40
    try:
        with redis.Redis.from_url(server.url) as client:
            before = client.info("memory")["used_memory"]
            fill(server.url, objects, points)
            used = (client.info("memory")["used_memory"] - before) / objects
    finally:
        server.stop()
    assert used == pytest.approx(
        int(costs["OBJECT_BYTES"]) + points * int(costs["POINT_BYTES"]), rel=0.15
    )


def fill(url, objects, points):
    """Store this many points of each object, half in g, half in r."""
    found = np.zeros(objects * points, dtype=POINT)
    found["candid"] = np.arange(1, len(found) + 1)
    found["jd"] = 2459000 + np.tile(np.arange(points), objects)
    names = [f"ZTF18{number:07d}" for number in range(objects) for _ in range(points)]
    band = np.tile(np.array([1, 2], dtype=np.uint8), len(found) // 2)
    store = Store.connect(url, prefix="anomaly:", group="capacity")
    store.seed(names, found, band)
    store.close()
