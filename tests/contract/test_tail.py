"""`tail`: follows, filters, ends."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tests.conftest import NIGHT_OUT
from tests.contract.outputs import slim
from tests.processes import wait_until
from worker.__main__ import cli
from worker.encode import read_container
from worker.kafka import produce_all
from worker.types.records import Message


@pytest.fixture
def scores(output):
    output.add(
        slim("a", 0.001, candid=1, outcome="emitted", magpsf=17.0),
        slim("b", 0.2, candid=2, nearest_class="SN"),
        slim("c", None, candid=3, p_provisional=0.01, magpsf=20.0),
    )
    return output


def names(output, *arguments):
    text = output.command("tail", "--scores", "--json", "--start-at", "earliest", "--until-eof",
                          *arguments)  # fmt: skip
    return {json.loads(line)["objectId"] for line in text.splitlines()}


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], "abc"),
        (["--object", "b"], "b"),
        (["--class", "SN"], "b"),
        (["--min-percentile", "99"], "ac"),
        (["--max-mag", "18"], "ab"),
        (["--max-mag", "19", "--min-percentile", "99"], "a"),
    ],
)
def test_filters(scores, arguments, found):
    assert names(scores, *arguments) == set(found)


def test_limit(scores):
    text = scores.command("tail", "--scores", "--start-at", "earliest", "--limit", "2")
    assert len(text.splitlines()) == 2


def test_text_marks_what_is_provisional_and_withheld(scores):
    text = scores.command("tail", "--scores", "--start-at", "earliest", "--until-eof")
    lines = {line.split()[2]: line for line in text.splitlines()}
    assert "99.9000" in lines["a"]
    assert "(below)" in lines["b"]
    assert "~99.0000" in lines["c"]


def test_latest_shows_nothing_old_and_a_bad_time_is_a_usage_error(scores):
    assert scores.command("tail", "--scores", "--start-at", "2099-01-01", "--until-eof") == ""
    result = CliRunner().invoke(cli, ["tail", "--start-at", "soon", *scores.arguments])
    assert result.exit_code == 2


def test_alerts_are_json_without_stamps(output, night_messages):
    alerts = [m for m in night_messages if m.topic == NIGHT_OUT]
    produce_all(output.common, [Message(output.topics.out, m.key, m.value) for m in alerts])
    text = output.command("tail", "--json", "--start-at", "earliest", "--until-eof")
    shown = {found["candid"]: found for found in map(json.loads, text.splitlines())}
    for message in alerts:
        sent = read_container(message.value)
        assert shown[sent["candid"]]["anomaly"]["score"] == sent["anomaly"]["score"]
        assert "cutoutScience" not in shown[sent["candid"]]


def test_it_follows_a_real_topic(real_output, tmp_path):
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "worker", "tail", "--scores", "--json", "--limit", "2",
             "--start-at", "earliest", *real_output.arguments],
            stdout=out,
        )  # fmt: skip
    try:
        real_output.add(slim("a", 0.1, candid=1))
        wait_until(lambda: b'"a"' in log.read_bytes(), 40, "the first line")
        real_output.add(slim("b", 0.1, candid=2))
        assert process.wait(40) == 0
    finally:
        process.kill()
    assert [json.loads(line)["objectId"] for line in log.read_text().splitlines()] == ["a", "b"]
