"""Real packets through a real Kafka and a real Redis: every record explained, books balanced."""

import json
from collections import Counter

import pytest

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
from tests.e2e.packets import needs_alerts, real_items
from tests.oracle import expected_outcomes, grouped

pytestmark = needs_alerts


@pytest.fixture(scope="module")
def night(kafka_bootstrap, redis_url, tmp_path_factory):
    """The topics after one worker has seen every real packet."""
    topic, out, group = "e2e.real", "e2e.real.anomaly", "e2e-real"
    items = real_items()
    create_topic(kafka_bootstrap, topic, 4)
    produce(kafka_bootstrap, topic, items)
    arguments = run_arguments(kafka_bootstrap, redis_url, topic=topic, out=out, group=group)
    worker = Worker(tmp_path_factory.mktemp("real") / "log", arguments)
    with workers(worker):
        wait_until(lambda: settled(kafka_bootstrap, out) >= len(items), 120, "the end", worker)
        assert worker.drain() == 0, worker.tail()
    return kafka_bootstrap, out, [value for _, value in items], arguments


def test_every_count_is_explained(night):
    bootstrap, out, values, _ = night
    code, text, error = command(
        "ledger", "--json", "--set", f"kafka.common.bootstrap.servers={bootstrap}",
        "--set", f"output.topic={out}",
    )  # fmt: skip
    assert code == 0, error
    books = json.loads(text)
    assert books["balanced"]
    assert books["records"] == len(values)
    expected = Counter(outcome for outcome, _, _ in expected_outcomes(values))
    assert grouped(books["outcomes"]) == expected
    assert expected["scored"] > 50
    assert {"real_bogus", "short", "duplicate", "dead_letter", "non_public"} <= expected.keys()


def test_scores_and_alerts_are_read_with_plain_fastavro(night):
    bootstrap, out, values, _ = night
    scored = {(o, c) for outcome, o, c in expected_outcomes(values) if outcome == "scored"}
    scores = decoded(read_topic(bootstrap, f"{out}.scores"))
    assert sorted((s["objectId"], s["candid"]) for s in scores) == sorted(scored)
    assert all(s["p"] is None and "uncalibrated" in s["flags"] for s in scores)
    assert len({s["score"] for s in scores}) > 0.9 * len(scores)
    alerts = read_topic(bootstrap, out)
    emitted = {s["candid"] for s in scores if s["outcome"] == "emitted"}
    assert emitted
    assert {a["candid"] for a in decoded(alerts)} == emitted
    assert len({headers["_id"] for _, _, headers in alerts}) == len(alerts)
    for (key, _, _), alert in zip(alerts, decoded(alerts), strict=True):
        assert key.decode() == alert["objectId"]
        assert alert["prv_candidates"][-1]["candid"] == alert["candid"]
        jds = [point["jd"] for point in alert["prv_candidates"]]
        assert jds == sorted(jds)


def test_dead_letters_keep_the_original_bytes(night):
    bootstrap, out, values, _ = night
    letters = read_topic(bootstrap, f"{out}.dlq")
    broken = {v for v, (o, _, _) in zip(values, expected_outcomes(values), strict=True)
              if o == "dead_letter"}  # fmt: skip
    assert {value for _, value, _ in letters} == broken
    assert all(headers["input_topic"] == b"e2e.real" for _, _, headers in letters)
    reasons = {headers["reason"].decode() for _, _, headers in letters}
    assert reasons <= {"malformed", "truncated", "multi_record"}


def test_the_ranking_is_written_and_read_back(night):
    bootstrap, out, _, arguments = night
    code, _, error = command("rank", *arguments, "--until-eof")
    assert code == 0, error
    newest = {key: value for key, value, _ in read_topic(bootstrap, f"{out}.ranking")}
    scores = decoded(read_topic(bootstrap, f"{out}.scores"))
    rankings = [decoded([(None, value, None)])[0] for value in newest.values()]
    assert sum(ranking["scored"] for ranking in rankings) == len(scores)
    for ranking in rankings:
        order = [(row["p_provisional"], -row["score"]) for row in ranking["rows"]]
        assert order == sorted(order)
        objects = [row["objectId"] for row in ranking["rows"]]
        assert len(set(objects)) == len(objects)
