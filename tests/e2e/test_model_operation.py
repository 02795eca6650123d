"""A new model, the way back, and a candidate in shadow: one setting and a restart each."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from models import default_artifact
from models.artifact import write_sums
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
from tests.oracle import expected_outcomes, read_packet
from worker.simulate import simulate_packets

TOPIC, LIVE, SHADOW = "models", "models.live", "models.shadow"
CANDIDATE = "99.0.0"
PACKAGED = default_artifact().name


@pytest.fixture(scope="module")
def candidate(tmp_path_factory):
    """An artefact of another version: the packaged one with every weight a little off."""
    folder = tmp_path_factory.mktemp("artefacts") / "anomaly-small" / CANDIDATE
    shutil.copytree(default_artifact(), folder)
    record = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**record, "version": CANDIDATE}))
    path, rng = folder / "encoder.safetensors", np.random.default_rng(1)
    changed = {
        name: (values * rng.normal(1, 0.02, values.shape)).astype(values.dtype)
        for name, values in load_file(path).items()
    }
    save_file(changed, path)
    write_sums(folder)
    return folder


@pytest.fixture(scope="module")
def operated(kafka_bootstrap, redis_url, candidate, tmp_path_factory):
    """A night in three parts: the packaged model, the candidate, the packaged one again."""
    plan = plan_night(12, 40)
    sent = simulate_packets(12, plan.objects, plan.planted)
    values = [*sent.history[-300:], *sent.packets]
    items = [((read_packet(v) or {}).get("objectId", "").encode(), v) for v in values]
    create_topic(kafka_bootstrap, TOPIC, 2)
    folder = tmp_path_factory.mktemp("operated")

    def worker(out, **settings):
        arguments = run_arguments(
            kafka_bootstrap, redis_url, topic=TOPIC, out=out, group=out,
            source__survey="simulated", output__min_percentile="60", batch__max_records="40",
            **settings,
        )  # fmt: skip
        return Worker(folder / f"{out}.log", arguments)

    third, done = len(items) // 3, 0
    with workers(worker(SHADOW, model__path=str(candidate))) as (shadow,):
        for part, settings in enumerate([{}, {"model__path": str(candidate)}, {}]):
            share = items[done:] if part == 2 else items[done : done + third]
            done += len(share)
            produce(kafka_bootstrap, TOPIC, share)
            with workers(worker(LIVE, **settings)) as (live,):
                caught_up(kafka_bootstrap, LIVE, done, live)
                assert live.drain() == 0, live.tail()
        caught_up(kafka_bootstrap, SHADOW, done, shadow)
        assert shadow.drain() == 0, shadow.tail()
    return kafka_bootstrap, values


def caught_up(bootstrap, out, count, worker):
    wait_until(lambda: settled(bootstrap, out) >= count, 60, "the end of the part", worker)


def stamp(row):
    return row["model"], row["model_version"], row["model_sha256"]


def test_the_stamp_changes_and_changes_back(operated):
    scores = decoded(read_topic(operated[0], f"{LIVE}.scores"))
    for partition in (0, 1):
        rows = [s for s in scores if s["input_partition"] == partition]
        rows.sort(key=lambda row: row["input_offset"])
        versions = [row["model_version"] for row in rows]
        changes = [a for a, b in zip(versions, [*versions[1:], None], strict=True) if a != b]
        assert changes == [PACKAGED, CANDIDATE, PACKAGED]
    stamps = {stamp(row) for row in scores}
    assert len(stamps) == 2
    assert {s[1] for s in stamps} == {PACKAGED, CANDIDATE}
    alerts = decoded(read_topic(operated[0], LIVE))
    assert {stamp(alert["anomaly"]) for alert in alerts} == stamps


def test_nothing_is_lost_or_scored_twice(operated):
    bootstrap, values = operated
    code, out, error = command(
        "ledger", "--json", "--set", f"kafka.common.bootstrap.servers={bootstrap}",
        "--set", f"output.topic={LIVE}",
    )  # fmt: skip
    assert code == 0, out + error
    assert json.loads(out)["records"] == len(values)
    expected = [(o, c) for outcome, o, c in expected_outcomes(values) if outcome == "scored"]
    for topic in (LIVE, SHADOW):
        scores = decoded(read_topic(bootstrap, f"{topic}.scores"))
        assert sorted((s["objectId"], s["candid"]) for s in scores) == sorted(expected)


def test_the_difference_of_the_candidate(operated):
    code, out, error = command(
        "model", "compare", f"{LIVE}.scores", f"{SHADOW}.scores", "--json",
        "--set", f"kafka.common.bootstrap.servers={operated[0]}",
    )  # fmt: skip
    assert code == 0, error
    found = json.loads(out)
    assert found["compared"] == found["first"] == found["second"] > 100
    assert 0.5 < found["spearman"] < 1
    both = {}
    for topic in (LIVE, SHADOW):
        for row in decoded(read_topic(operated[0], f"{topic}.scores")):
            both.setdefault(row["candid"], []).append(row)
    same = [a["score"] == pytest.approx(b["score"], rel=1e-4, abs=1e-4)
            for a, b in both.values() if stamp(a) == stamp(b)]  # fmt: skip
    other = [a["score"] == b["score"] for a, b in both.values() if stamp(a) != stamp(b)]
    assert all(same)
    assert same
    assert other
    assert not all(other)
