"""`rank`, `top` and `vote`: their rules on the mock cluster, their process on a real Kafka."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from tests.contract.brokers import Broker
from tests.processes import wait_until
from tests.unit.test_ranking import score
from worker.__main__ import cli
from worker.commands.rank import Ranker
from worker.config import load_settings
from worker.encode import read_container
from worker.encode.avro import ContainerWriter
from worker.kafka import MockCluster, produce_all, read_all
from worker.night import JD_UNIX_EPOCH, night_of_jd
from worker.topics import Topics, output_specs
from worker.types import Message

LONGITUDE = -116.863
NIGHT_JD = 2461234.75
TONIGHT_JD = JD_UNIX_EPOCH + time.time() / 86_400


def slim(name, p, *, candid, jd=NIGHT_JD, **fields):
    row = score(name, p, candid=candid, jd=jd, **fields)
    return {
        **row, "s1": 1.0, "s_input": 1.0, "p_input": None, "percentile": None, "curve_hash": 1,
        "magnitude_kind": "difference", "calibration_sha256": None, "model_sha256": "0",
        "input_topic": "t", "input_partition": 0, "input_offset": candid,
        "scored_at_ms": int(time.time() * 1000),
    }  # fmt: skip


class Output:
    """Output topics with scores in them, and the commands that read them."""

    def __init__(self, broker, out):
        bootstrap = broker.bootstrap
        self.topics = Topics(out)
        self.common = {**broker.config, "fetch.wait.max.ms": 20}
        for spec in output_specs(self.topics, 2, 1):
            broker.topic(spec.partitions, spec.name, **spec.config)
        self.assignments = [
            f"kafka.common.bootstrap.servers={bootstrap}",
            "kafka.common.fetch.wait.max.ms=20",  # a reader learns that it is at the end
            f"output.topic={out}",
        ]
        self.arguments = [part for a in self.assignments for part in ("--set", a)]

    def add(self, *scores):
        writer = ContainerWriter("score")
        produce_all(
            self.common,
            [Message(self.topics.scores, s["objectId"].encode(), writer.write(s)) for s in scores],
        )

    def command(self, name, *arguments):
        result = CliRunner().invoke(cli, [name, *self.arguments, *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    def rank(self, *assignments):
        """What `rank --until-eof` does."""
        settings = load_settings(None, [*self.assignments, *assignments]).settings
        ranker = Ranker(settings)
        ranker.catch_up()
        ranker.close()

    def rankings(self):
        """Every record of the ranking topic, in order."""
        return [read_container(r.value) for r in read_all(self.common, self.topics.ranking)]

    def top(self, *arguments):
        lines = self.command("top", "--json", *arguments).splitlines()
        return [json.loads(line)["objectId"] for line in lines]


@pytest.fixture(scope="module")
def mock():
    with MockCluster() as cluster:
        yield Broker(cluster.bootstrap, cluster)


@pytest.fixture
def output(mock, unique):
    return Output(mock, unique)


@pytest.fixture
def real_output(broker, unique):
    return Output(broker, unique)


def test_a_night_that_is_over_is_final_and_ranked_once(output):
    output.add(
        slim("b", 0.2, candid=1),
        slim("a", 0.1, candid=2, outcome="emitted"),
        slim("b", 0.3, candid=3),
    )
    output.rank()
    output.rank()
    (ranking,) = output.rankings()
    assert ranking["final"]
    assert ranking["night"] == night_of_jd(NIGHT_JD, LONGITUDE)
    assert (ranking["scored"], ranking["emitted"]) == (3, 1)
    assert output.top() == ["a", "b"]
    table = output.command("top", "--night", ranking["night"])
    assert table.splitlines()[1].split()[:3] == ["1", "a", "90.0000"]


def test_a_restart_goes_on_where_the_ranking_was(output):
    output.add(slim("a", 0.2, candid=1))
    output.rank()
    output.add(slim("b", 0.1, candid=2))
    output.rank()
    assert [ranking["scored"] for ranking in output.rankings()] == [1, 2]
    assert output.top() == ["b", "a"]


def test_a_ranking_of_more_alerts_is_not_replaced_by_one_of_fewer(output, mock, unique):
    output.add(slim("a", 0.2, candid=1), slim("b", 0.1, candid=2))
    output.rank()
    forgetful = Output(mock, f"{unique}-later")
    (published,) = read_all(output.common, output.topics.ranking)
    produce_all(output.common, [Message(forgetful.topics.ranking, published.key, published.value)])
    forgetful.add(slim("a", 0.2, candid=1))
    forgetful.rank()
    assert forgetful.top() == ["b", "a"]


def test_votes_mark_hide_and_are_withdrawn(output):
    output.add(slim("a", 0.1, candid=1), slim("b", 0.2, candid=2))
    output.command("vote", "a", "artefact", "--user", "ann")
    output.rank("ranking.votes=hide")
    assert output.top() == ["b"]
    output.rank()
    assert output.rankings()[-1]["rows"][0]["votes"] == {"artefact": 1}
    output.command("vote", "a", "--withdraw", "--user", "ann")
    output.rank()
    assert output.rankings()[-1]["rows"][0]["votes"] == {}


def run_rank(output, log, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "worker", "rank", *output.arguments, *arguments],
        stderr=log, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


def test_tonight_is_followed_and_drained_at_sigterm(real_output, tmp_path):
    real_output.add(slim("a", 0.2, candid=1, jd=TONIGHT_JD))
    with (tmp_path / "log").open("wb") as log:
        process = run_rank(real_output, log)
    try:
        wait_until(real_output.rankings, 30, "the first ranking")
        real_output.add(slim("b", 0.1, candid=2, jd=TONIGHT_JD))
        wait_until(lambda: len(real_output.rankings()) == 2, 30, "the second ranking")
        real_output.add(slim("c", 0.05, candid=3, jd=TONIGHT_JD))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    first, *_, last = real_output.rankings()
    assert not first["final"]
    assert not last["final"]
    assert [row["objectId"] for row in last["rows"]] == ["c", "b", "a"]
    written = datetime.fromtimestamp(last["updated_at_ms"] / 1000, UTC)
    assert (datetime.now(UTC) - written).total_seconds() < 60


def test_foreign_records_are_passed_over(output):
    produce_all(output.common, [Message(output.topics.scores, b"x", b"Obj\x01 nonsense")])
    output.add(slim("a", 0.2, candid=1))
    output.rank()
    assert output.top() == ["a"]


def test_until_eof_ends_by_itself(real_output, tmp_path):
    real_output.add(slim("a", 0.2, candid=1))
    with (tmp_path / "log").open("wb") as log:
        assert run_rank(real_output, log, "--until-eof").wait(30) == 0
    assert real_output.top() == ["a"]


def test_no_ranking_yet_says_what_is_missing(output):
    result = CliRunner().invoke(cli, ["top", *output.arguments])
    assert "is `rank` running?" in str(result.exception)
