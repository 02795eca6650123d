"""The server: headers, JSON, stamps, events; and the feed from a broker."""

import gzip
import http.client
import json
import threading

import pytest

from tests.board.conftest import LONGITUDE, Board
from tests.conftest import NIGHT_OUT
from tests.processes import wait_until
from worker.board.feed import Feed
from worker.board.state import BoardState, galactic_latitude
from worker.encode import write_ranking, write_vote
from worker.kafka import MockCluster, produce_all
from worker.topics import Topics
from worker.types.records import Message


def get(board, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", board.port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer, answer.read()


def as_json(board, path):
    answer, body = get(board, path)
    assert answer.status == 200, body
    return json.loads(body)


@pytest.mark.parametrize("path", ["/", "/static/board.js", "/api/alerts", "/healthz", "/nothing"])
def test_every_answer_has_the_policy(board, path):
    answer, _ = get(board, path)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_rows_and_details(board, night_alerts, night_ranking):
    night = as_json(board, "/api/alerts")
    assert [row["candid"] for row in night["rows"]] == [
        str(row["candid"]) for row in night_ranking["rows"]
    ]
    assert night["expected_false_alarms"] == night_ranking["expected_false_alarms"]
    assert {row["candid"] for row in night["rows"] if row["detail"]} <= {
        str(alert["candid"]) for alert in night_alerts
    }
    alert = night_alerts[0]
    detail = as_json(board, f"/api/alerts/{alert['candid']}")
    assert detail["candid"] == str(alert["candid"])
    assert len(detail["prv_candidates"]) == len(alert["prv_candidates"])
    assert detail["prv_candidates"][-1]["candid"] == detail["candid"]


def test_a_night_that_is_not_there_is_empty(board):
    assert as_json(board, "/api/alerts?night=19990101")["rows"] == []


def test_what_is_not_kept_is_not_found(board, night_alerts):
    candid = night_alerts[0]["candid"]
    for path in ("/api/alerts/5", "/cutout/5/science", f"/cutout/{candid}/secret"):
        assert get(board, path)[0].status == 404


def test_stamps_come_as_received(board, night_alerts):
    alert = night_alerts[0]
    answer, body = get(board, f"/cutout/{alert['candid']}/science")
    assert body == alert["cutoutScience"]
    assert gzip.decompress(body).startswith(b"SIMPLE")
    assert answer.headers["content-type"] == "application/octet-stream"


def test_health_follows_the_feed(board):
    assert get(board, "/healthz")[0].status == 200
    board.state.report("kafka: away")
    assert get(board, "/healthz")[0].status == 503


def events(board, count, **headers):
    """Event fields of a stream until `count` changes were seen."""
    connection = http.client.HTTPConnection("127.0.0.1", board.port, timeout=10)
    connection.request("GET", "/events", headers=headers)
    answer = connection.getresponse()
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines, ids = [], []
    while len(ids) < count:
        line = answer.readline().decode().strip()
        lines.append(line)
        if line.startswith("id: "):
            ids.append(line.removeprefix("id: "))
    connection.close()
    return lines, ids


def test_events_tell_the_present_version_and_each_change(board, night_ranking):
    change = threading.Timer(1.0, board.state.add_ranking, [night_ranking])
    change.start()
    lines, ids = events(board, 2)
    assert lines[0].startswith("retry: ")
    assert ids[0] != ids[1] == board.state.version


def test_a_client_that_knows_the_version_waits_for_the_next(board, night_ranking):
    known = board.state.version
    change = threading.Timer(1.0, board.state.add_ranking, [night_ranking])
    change.start()
    _, (first,) = events(board, 1, **{"Last-Event-ID": known})
    assert first != known


def test_the_newest_alerts_are_kept(night_alerts):
    state = BoardState("simulated", LONGITUDE, capacity=2)
    for candid in (1, 2, 3):
        state.add_alert({**night_alerts[0], "candid": candid})
    assert state.detail(1) is None
    assert state.detail(3) is not None


def test_other_surveys_are_not_mixed_in(night_ranking):
    state = BoardState("ztf", LONGITUDE)
    state.add_ranking(night_ranking)
    assert state.night(None)["rows"] == []


def test_galactic_latitude():
    assert galactic_latitude(192.85948, 27.12825) == pytest.approx(90, abs=1e-3)
    assert galactic_latitude(266.405, -28.936) == pytest.approx(0, abs=0.05)


def test_the_feed_reads_what_is_there_and_what_comes(night_messages, night_ranking, unique):
    topics = Topics(unique)
    alerts = [Message(unique, m.key, m.value) for m in night_messages if m.topic == NIGHT_OUT]
    names = (topics.out, topics.ranking, topics.votes)
    with MockCluster(dict.fromkeys(names, 1)) as cluster:
        config = {"bootstrap.servers": cluster.bootstrap}
        produce_all(config, [alerts[0], Message(topics.out, b"x", b"Obj\x01 not ours")])
        state = BoardState("simulated", LONGITUDE)
        feed = Feed(config, topics, state, None)
        feed.start()
        wait_until(lambda: state.problem is None, 30, "the feed")
        assert len(state.night(None)["rows"]) == 1
        name = night_ranking["rows"][0]["objectId"]
        vote = write_vote(topics, name, "ann", "known", 1)
        produce_all(config, [*alerts[1:], write_ranking(topics, night_ranking), vote])
        wait_until(lambda: state.night(None)["ranked"], 30, "the ranking")
        wait_until(lambda: state.night(None)["rows"][0]["votes"], 30, "the vote")
        wait_until(lambda: any(r["detail"] for r in state.night(None)["rows"]), 30, "the alerts")
        feed.close()


def test_a_board_can_be_stopped_while_somebody_watches(night_alerts):
    board = Board().start()
    connection = http.client.HTTPConnection("127.0.0.1", board.port, timeout=10)
    connection.request("GET", "/events")
    connection.getresponse().readline()
    board.stop()
    assert not board._thread.is_alive()
