"""Scoring again: a replayed night agrees, a dead letter that was mended is scored once."""

import json

import pytest
import redis

from models.night import plan_night
from tests.e2e.harness import (
    Worker,
    command,
    create_topic,
    decoded,
    produce,
    read_topic,
    run_arguments,
    settled,
    wait_until,
    workers,
)
from tests.oracle import read_packet
from worker.simulate import simulate_packets

OUT, GROUP, TOPIC = "again.out", "again", "again.in"
LIMIT = 30_000
"""Bytes: larger packets are dead letters first, and scored when the limit was raised."""


@pytest.fixture(scope="module")
def night():
    plan = plan_night(11, 40)
    sent = simulate_packets(11, plan.objects, plan.planted)
    packets = [(read_packet(value), value) for value in [*sent.history, *sent.packets]]
    return [(p["objectId"].encode(), value) for p, value in packets if p is not None], sent.night


@pytest.fixture(scope="module")
def published(kafka_bootstrap, redis_url, night, tmp_path_factory):
    """One worker saw the night with a low limit; then the letters were redriven twice."""
    items, _ = night
    create_topic(kafka_bootstrap, TOPIC, 2)
    produce(kafka_bootstrap, TOPIC, items)
    options = {"topic": TOPIC, "out": OUT, "group": GROUP, "source__survey": "simulated",
               "dead_letters__max_share": "1"}  # fmt: skip
    folder = tmp_path_factory.mktemp("again")
    low = run_arguments(kafka_bootstrap, redis_url, **options, source__max_message_bytes=str(LIMIT))
    with workers(Worker(folder / "low", low)) as (worker,):
        wait_until(lambda: settled(kafka_bootstrap, OUT) >= len(items), 120, "the end", worker)
        assert worker.drain() == 0, worker.tail()
    letters = [value for _, value, _ in read_topic(kafka_bootstrap, f"{OUT}.dlq")]
    assert sorted(letters) == sorted(value for _, value in items if len(value) > LIMIT) != []
    high = run_arguments(kafka_bootstrap, redis_url, **options)
    for _ in range(2):
        code, _, error = command("redrive", "--reason", "too_large", *high)
        assert code == 0, error
    wanted = len(items) + 2 * len(letters)
    with workers(Worker(folder / "high", high)) as (worker,):
        wait_until(lambda: settled(kafka_bootstrap, OUT) >= wanted, 120, "the end", worker)
        assert worker.drain() == 0, worker.tail()
    return kafka_bootstrap, letters, high


def test_what_was_redriven_twice_is_scored_once(published):
    bootstrap, letters, arguments = published
    code, out, error = command("ledger", "--json", *arguments)
    assert code == 0, out + error
    books = json.loads(out)
    assert books["outcomes"]["dead_letter.too_large"] == len(letters)
    scores = decoded(read_topic(bootstrap, f"{OUT}.scores"))
    again = [s for s in scores if s["input_topic"] == f"{OUT}.redrive"]
    assert 0 < len(again) == len({s["candid"] for s in again}) <= len(letters)
    assert len({s["candid"] for s in scores}) == len(scores)
    assert books["outcomes"]["duplicate"] >= len(again)


def test_a_replayed_night_agrees_and_leaves_no_trace(published, night, redis_url):
    bootstrap, _, arguments = published
    with redis.Redis.from_url(redis_url) as client:
        before = {key: client.dump(key) for key in client.keys(f"{GROUP}:*")}
        code, out, error = command("replay", "--json", "--night", night[1], *arguments)
        assert {key: client.dump(key) for key in client.keys(f"{GROUP}:*")} == before
    report = json.loads(out)
    assert code == 0, (report, error)
    assert report["compared"] > 20
    assert report["equal"] + len(report["other_curve"]) == report["compared"]
    assert len(report["other_curve"]) <= report["compared"] // 5
    replayed = read_topic(bootstrap, f"{OUT}.replay.scores")
    assert len(replayed) == report["compared"]
    assert all(headers["_test"] == b"true" for _, _, headers in replayed)


def test_a_night_that_nobody_saw_is_empty(published):
    code, out, _ = command("replay", "--json", "--night", "20010101", *published[2])
    assert (code, json.loads(out)["compared"]) == (0, 0)
