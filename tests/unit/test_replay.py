"""What two runs of one night are compared by."""

import pytest

from worker.replay import compare


def score(offset=1, **changes):
    return {
        "objectId": "ZTF1", "candid": offset, "input_topic": "in", "input_partition": 0,
        "input_offset": offset, "curve_hash": 5, "score": 2.0, "outcome": "below", "p": 0.5,
        "p_input": 0.5, **changes,
    }  # fmt: skip


def run(old, new):
    return compare([score(**old)], [score(**new)], 99.0)


def test_the_same_run_agrees():
    result = run({}, {})
    assert (result.agrees, result.equal, result.compared) == (True, 1, 1)


def test_arithmetic_may_differ_a_little():
    assert run({}, {"score": 2.0 * (1 + 9e-5)}).agrees
    result = run({}, {"score": 2.0 * (1 + 2e-4)})
    assert result.other_score == ["ZTF1 1"]
    assert not result.agrees


def test_another_curve_is_listed_and_no_fault():
    result = run({}, {"curve_hash": 6, "score": 9.0, "outcome": "emitted"})
    assert result.other_curve == ["ZTF1 1"]
    assert result.agrees


@pytest.mark.parametrize("p", [{"p": 0.008 * 1.0009}, {"p_input": 0.002 * 0.9991}])
def test_near_a_threshold_the_decision_may_differ(p):
    result = run(p, {**p, "outcome": "emitted"})
    assert (result.near_threshold, result.agrees) == (1, True)


def test_elsewhere_it_must_not():
    result = run({}, {"outcome": "emitted"})
    assert result.other_outcome == ["ZTF1 1: below, now emitted"]
    assert not result.agrees


def test_decisions_about_an_uncalibrated_survey_are_not_compared():
    uncalibrated = {"p": None, "p_input": None}
    result = run(uncalibrated, {**uncalibrated, "outcome": "emitted"})
    assert (result.not_replayable, result.agrees) == (1, True)


def test_what_is_missing_on_one_side():
    result = compare([score(1), score(2)], [score(2), score(3)], 99.0)
    assert (result.only_before, result.only_replayed) == (["ZTF1 1"], ["ZTF1 3"])
    assert not result.agrees
