"""The night's order and its sums."""

import random

import pytest

from worker.encode import read_container, write_ranking
from worker.ranking import KEPT, TOP, NightRanking, RankingPolicy, best_per_object
from worker.topics import Topics
from worker.votes import Votes

POLICY = RankingPolicy()


def score(name, p, value=1.0, *, candid, **fields):
    return {
        "survey": "ztf", "objectId": name, "candid": candid, "jd": 2461000.5, "ra": 1.0,
        "dec": 2.0, "band": "r", "magpsf": 18.0, "score": value, "p": p, "p_provisional": None,
        "nearest_class": "rrlyr", "n_points": 30, "emissions_90d": 0, "flags": [],
        "outcome": "below", "model": "m", "model_version": "1", "scored_at_ms": candid,
        **fields,
    }  # fmt: skip


def ranked(*scores, votes=None, policy=POLICY, final=False):
    night = NightRanking("ztf", "20251115")
    for row in scores:
        night.add(row)
    return night.content(votes or Votes(), policy, final=final)


def names(content):
    return [row["objectId"] for row in content["rows"]]


def test_order_is_by_p_then_score_and_one_row_per_object():
    content = ranked(
        score("a", 0.5, candid=1),
        score("b", 0.01, 3.0, candid=2),
        score("a", 0.001, candid=3),
        score("c", 0.01, 4.0, candid=4),
    )
    assert names(content) == ["a", "c", "b"]
    assert [row["rank"] for row in content["rows"]] == [1, 2, 3]
    assert content["rows"][0]["candid"] == 3
    assert content["scored"] == 4


def test_order_does_not_depend_on_arrival():
    rows = [score(f"o{n % 40}", (n * 7 % 50) / 100, n % 3, candid=n) for n in range(200)]
    first = ranked(*rows)
    random.Random(1).shuffle(rows)
    assert ranked(*rows) == first


def test_uncalibrated_alerts_are_ordered_by_the_provisional_p():
    content = ranked(
        score("a", None, candid=1, p_provisional=0.3),
        score("b", None, candid=2, p_provisional=0.2),
        score("c", None, candid=3),
    )
    assert names(content) == ["b", "a", "c"]
    assert content["expected_false_alarms"] is None


def test_repeats_count_once():
    row = score("a", 0.1, candid=1, outcome="emitted")
    content = ranked(row, row)
    assert (content["scored"], content["emitted"]) == (1, 1)


def test_expected_false_alarms_count_what_could_be_emitted():
    content = ranked(
        score("a", 0.001, candid=1, outcome="emitted"),
        score("b", 0.5, candid=2),
        score("c", 0.5, candid=3, outcome="few_points"),
        policy=RankingPolicy(budget=0.05),
    )
    assert content["expected_false_alarms"] == pytest.approx(0.1)


def test_emissions_of_the_object_include_tonights():
    content = ranked(
        score("a", 0.01, candid=1, outcome="emitted", emissions_90d=2),
        score("a", 0.02, candid=2, outcome="repeated", emissions_90d=3),
        score("b", 0.03, candid=3),
    )
    assert [row["emissions_90d"] for row in content["rows"]] == [3, 0]


def test_a_large_night_keeps_its_top():
    rows = [score(f"o{n}", n / 10_000, candid=n) for n in range(5 * KEPT)]
    random.Random(2).shuffle(rows)
    content = ranked(*rows)
    assert names(content) == [f"o{n}" for n in range(TOP)]
    assert content["scored"] == 5 * KEPT


@pytest.mark.parametrize(
    ("policy", "order"),
    [("mark", ["a", "b", "c"]), ("lower", ["b", "c", "a"]), ("hide", ["b", "c"])],
)
def test_votes_by_policy(policy, order):
    votes = Votes()
    votes.cast("a", "ann", "artefact")
    votes.cast("b", "ann", "known")
    votes.cast("b", "bob", "interesting")
    rows = [score(name, p, candid=n) for n, (name, p) in enumerate([("a", 0.1), ("b", 0.2),
            ("c", 0.3)])]  # fmt: skip
    content = ranked(*rows, votes=votes, policy=RankingPolicy(votes=policy))
    assert names(content) == order
    shown = {row["objectId"]: row["votes"] for row in content["rows"]}
    assert shown["b"] == {"known": 1, "interesting": 1}


def test_the_newest_vote_of_a_person_counts():
    votes = Votes()
    votes.cast("a", "ann", "artefact")
    votes.cast("a", "ann", "interesting")
    assert votes.counts("a") == {"interesting": 1}
    votes.read(b"a/ann", None)
    assert votes.counts("a") == {}
    votes.read(b"b/ann/lee", {"objectId": "b", "user": "ann/lee", "label": "known"})
    votes.read(b"b/ann/lee", None)
    assert not votes.dismissed("b")


def test_best_per_object_of_nothing():
    assert best_per_object([]) == []


def test_an_empty_night_and_a_full_one_fit_the_schema():
    for content in (ranked(final=True), ranked(score("a", 0.1, candid=1))):
        message = write_ranking(Topics("out"), {**content, "updated_at_ms": 5})
        assert message.key == b"ztf/20251115"
        assert read_container(message.value) == {**content, "updated_at_ms": 5}
