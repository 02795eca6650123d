"""deploy/README.md from nothing to a ranked alert: on real servers, without containers."""

import json
import re

from tests.deploy.conftest import ROOT
from tests.e2e.harness import Worker, command, settled, wait_until
from tests.e2e.harness import workers as ended

CONFIG = str(ROOT / "deploy/compose/worker.toml")


def test_from_nothing_to_a_ranked_alert(kafka_bootstrap, redis_url, unique, tmp_path):
    out = f"{unique}.anomaly"
    values = {
        "kafka.common.bootstrap.servers": kafka_bootstrap, "redis.url": redis_url,
        "redis.prefix": f"{unique}:", "source.topics": f'["{unique}"]', "output.topic": out,
        "worker.group": unique,
    }  # fmt: skip
    chosen = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
    settings = ["--config", CONFIG, *chosen]
    with ended(Worker(tmp_path / "log", settings)) as (worker,):
        code, said, error = command("simulate", "--topic", unique, "--objects", "60", *settings)
        assert code == 0, error
        planted = {each["objectId"] for each in json.loads(said)}
        sent = sum(map(int, re.search(r"(\d+) packets, (\d+) of earlier", error).groups()))
        wait_until(lambda: settled(kafka_bootstrap, out) == sent, 150, "books", worker)
        assert worker.drain() == 0, worker.tail()
    assert command("rank", "--until-eof", *settings)[0] == 0
    code, said, error = command("top", "--json", *settings)
    assert code == 0, error
    first = [json.loads(line)["objectId"] for line in said.splitlines()][:20]
    assert planted & set(first)
    code, said, error = command("ledger", *settings)
    assert code == 0, said + error
