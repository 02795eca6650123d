"""`simulate` writes what it says; the demo's order, table and sums."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from worker.commands.demo import (
    TOP,
    DemoNight,
    balanced_counts,
    order,
    simulate_demo_night,
    summary,
    table,
)
from worker.commands.simulate import simulate
from worker.decode.files import read_files
from worker.errors import AnomalyWorkerError
from worker.ledger import check


def run(*arguments):
    return CliRunner().invoke(simulate, [str(a) for a in arguments])


def values(path):
    return [value for batch in read_files([path]) for value in batch.values]


def test_folder(tmp_path):
    result = run(tmp_path / "night", "--objects", 10, "--seed", 4)
    assert result.exit_code == 0, result.output
    night = sorted((tmp_path / "night" / "night").iterdir())
    assert night[0].name == "20260715-00000.avro"
    assert len(night) > 15
    assert list((tmp_path / "night" / "history").iterdir())
    planted = json.loads((tmp_path / "night" / "planted.json").read_text())
    assert {"objectId", "kind", "why"} == set(planted[0])


def test_archives_repeat_and_hold_the_packets_of_the_folder(tmp_path):
    for name in ("a.tar.gz", "b.tar.gz", "folder"):
        assert run(tmp_path / name, "--objects", 10, "--seed", 4).exit_code == 0
    first, second = (tmp_path / "a.tar.gz").read_bytes(), (tmp_path / "b.tar.gz").read_bytes()
    assert first == second
    for archive, folder in (("a.tar.gz", "night"), ("a.history.tar.gz", "history")):
        files = sorted((tmp_path / "folder" / folder).iterdir())
        assert values(tmp_path / archive) == [file.read_bytes() for file in files]
    truth = (tmp_path / "a.planted.json").read_text()
    assert truth == (tmp_path / "folder" / "planted.json").read_text()


@pytest.mark.parametrize("arguments", [[], ["out", "--topic", "t"]])
def test_one_destination(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "either OUT or --topic" in result.output


def test_topic_without_a_broker(monkeypatch):
    monkeypatch.delenv("ANOMALY_WORKER_KAFKA__COMMON__BOOTSTRAP_SERVERS", raising=False)
    result = run("--topic", "t", "--objects", 1)
    assert "bootstrap.servers is not set" in str(result.exception)


def score(name, p, value, provisional=None):
    return {"objectId": name, "p": p, "p_provisional": provisional, "score": value}


def test_order_keeps_the_best_alert_of_each_object():
    rows = [
        score("a", 0.5, 1.0),
        score("b", 0.01, 3.0),
        score("a", 0.001, 2.0),
        score("c", 0.01, 4.0),
        score("d", None, 9.0, 0.2),
    ]
    assert [row.object_id for row in order(rows)] == ["a", "c", "b", "d"]
    assert order([]) == []


@pytest.fixture(scope="module")
def night() -> DemoNight:
    return simulate_demo_night(2, 30)


def test_demo_night_knows_its_truth(night):
    assert len(night.planted) == 8
    sizes = [size for _, size in night.by_amplitude]
    assert sizes == sorted(sizes, reverse=True)
    assert set(night.planted) <= {name for name, _ in night.by_amplitude}
    assert set(night.planted) <= set(night.kinds)


def test_table_names_every_planted_object(night):
    names = [*night.planted, *(n for n in night.kinds if n not in night.planted)]
    ranking = order([score(n, i / 100, 1.0) for i, n in enumerate(names[1:], 1)])
    text = table(night, ranking)
    lines = text.splitlines()
    assert lines[1].lstrip().startswith(f"1  * {names[1]}")
    assert len([line for line in lines[: TOP + 1] if "mag" in line]) == TOP
    for name, (kind, why) in night.planted.items():
        assert any(name in line and kind in line and why in line for line in lines[TOP + 1 :])
    missing = next(line for line in lines[TOP + 1 :] if names[0] in line)
    assert " - " in missing  # not scored by the worker


def test_table_of_an_empty_ranking(night):
    assert "by amplitude alone" in table(night, [])


def book(start, stop, **outcomes):
    entries = [{"night": "20260715", "outcome": k, "count": v} for k, v in outcomes.items()]
    part = {
        "topic": "t", "partition": 0, "start": start, "next": stop,
        "records": sum(outcomes.values()), "outcomes": entries,
    }  # fmt: skip
    return {"group": "demo", "partitions": [part]}


def test_counts_account_for_every_record():
    report = check([book(0, 3, emitted=1, duplicate=2), book(3, 5, **{"withheld.below": 2})])
    counts = balanced_counts(report, 5)
    assert counts == {
        "records": 5, "scored": 3, "skipped": 0, "duplicates": 2, "dead_letters": 0, "emitted": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("books", "sent"),
    [
        ([book(0, 3, emitted=3)], 4),
        ([book(0, 3, emitted=3), book(4, 5, emitted=1)], 4),
        ([], 1),
    ],
)
def test_a_lost_record_fails_the_demo(books, sent):
    with pytest.raises(AnomalyWorkerError, match="do not balance"):
        balanced_counts(check(books), sent)


def test_summary_is_one_line():
    names = ("records", "scored", "skipped", "duplicates", "dead_letters", "emitted", "planted",
             "planted_in_top10", "seconds")  # fmt: skip
    text = summary(dict.fromkeys(names, 7))
    assert "7 of 7 planted" in text
    assert "\n" not in text


def test_written_files_are_where_they_should_be(tmp_path: Path):
    assert run(tmp_path / "deep" / "n.tgz", "--objects", 1).exit_code == 0
    found = sorted(path.name for path in (tmp_path / "deep").iterdir())
    assert found == ["n.history.tgz", "n.planted.json", "n.tgz"]
