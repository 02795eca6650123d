"""`rank`, `top` and `vote`: their rules on the mock cluster, their process on a real Kafka."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime

from click.testing import CliRunner

from tests.contract.outputs import LONGITUDE, NIGHT_JD, TONIGHT_JD, Output, slim
from tests.processes import wait_until
from worker.__main__ import cli
from worker.kafka import produce_all, read_all
from worker.night import night_of_jd
from worker.types.records import Message


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


def test_a_ranking_of_more_alerts_is_not_replaced_by_one_of_fewer(output, mock_broker, unique):
    output.add(slim("a", 0.2, candid=1), slim("b", 0.1, candid=2))
    output.rank()
    forgetful = Output(mock_broker, f"{unique}-later")
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
