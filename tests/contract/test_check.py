"""`check` against real servers: what it finds, what it advises, how it exits."""

import json

import pytest
import redis
from click.testing import CliRunner

from models.night import plan_night
from tests.e2e.harness import create_topic, produce, run_arguments
from tests.processes import free_ports
from tests.redis_server import RedisServer, redis_binary
from worker.__main__ import cli
from worker.commands.doctor import drift_of
from worker.simulate import simulate_packets


@pytest.fixture
def arguments(kafka_bootstrap, redis_url, unique):
    def make(**settings):
        chosen = {"source__survey": "simulated", **settings}
        return run_arguments(
            kafka_bootstrap, redis_url, topic=unique, out=f"{unique}.out", group=unique, **chosen
        )

    return make


def checked(*arguments):
    """Exit code and stdout, in this process: the model's libraries are loaded once."""
    done = CliRunner().invoke(cli, ["check", *arguments], standalone_mode=False)
    assert done.exception is None, done.exception
    return done.return_value, done.stdout


def examined(arguments, *more):
    """The exit code, and (status, detail, advice) by what was looked at."""
    code, out = checked("--json", *arguments, *more)
    answer = json.loads(out)
    assert answer["exit_code"] == code
    return code, [(f["what"], f["status"], f["detail"], f["advice"]) for f in answer["findings"]]


def found(findings, what, status):
    return [detail for name, s, detail, _ in findings if (name, s) == (what, status)]


def test_all_is_well_and_a_sample_is_scored(arguments, kafka_bootstrap, unique):
    create_topic(kafka_bootstrap, unique, 2)
    plan = plan_night(4, 20)
    packets = simulate_packets(4, plan.objects, plan.planted).packets
    produce(kafka_bootstrap, unique, [(None, packet) for packet in packets])
    code, findings = examined(arguments())
    assert not [f for f in findings if f[1] == "failed"]
    assert code == 0
    assert found(findings, "input", "ok") == ["1 topics, 2 partitions: so many workers"]
    # A simulated night holds a broken packet: it may be among the newest.
    (sample,) = found(findings, "sample", "ok") + found(findings, "sample", "warning")
    assert "withheld" in sample
    assert len(found(findings, "model", "ok")[0].split("sha256 ")[1]) == 12
    assert found(findings, "calibration", "ok")
    assert found(findings, "clock", "ok")
    assert all(advice for _, status, _, advice in findings if status != "ok")


def test_what_is_missing_is_said_with_what_to_do(arguments):
    wanted = arguments(output__create_topics="false", source__survey="ztf")
    code, findings = examined(wanted, "--only", "topics", "--only", "model")
    assert code == 78
    assert "missing" in found(findings, "topics", "failed")[0]
    assert found(findings, "input", "warning")
    assert found(findings, "calibration", "warning") == ["none for survey ztf"]


def test_records_that_are_no_packets(arguments, kafka_bootstrap, unique):
    create_topic(kafka_bootstrap, unique, 1)
    produce(kafka_bootstrap, unique, [(None, b"no Avro")])
    code, findings = examined(arguments(), "--only", "sample")
    assert code == 78
    assert "dead_letter.not_avro 1" in found(findings, "sample", "failed")[0]


def test_a_redis_that_forgets(arguments, tmp_path):
    server = RedisServer(
        tmp_path, redis_binary(), appendonly="no", maxmemory="64mb", maxmemory_policy="allkeys-lru"
    ).start()
    try:
        code, findings = examined(arguments(redis__url=server.url), "--only", "redis")
        assert code == 0
        assert "no persistence" in found(findings, "redis", "warning")
        assert "maxmemory-policy allkeys-lru" in found(findings, "redis", "warning")
        assert checked("--strict", "--only", "redis", *arguments(redis__url=server.url))[0] == 1
        with redis.Redis.from_url(server.url) as client:
            assert len(client.keys()) == 1  # the layout mark and nothing else
    finally:
        server.stop()


def test_servers_that_are_away(arguments):
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    wanted = arguments(redis__url=f"redis://{nowhere}/0")
    code, findings = examined(wanted, "--only", "redis")
    assert code == 69
    assert found(findings, "redis", "failed")


@pytest.mark.parametrize(
    ("p", "status"),
    [
        ([(n + 0.5) / 1000 for n in range(1000)], "ok"),
        ([((n + 0.5) / 1000) ** 2 for n in range(1000)], "warning"),
        ([0.01] * 200, "ok"),
    ],
    ids=["uniform", "shifted", "too few"],
)
def test_drift(p, status):
    assert drift_of("apparent", p).status == status
