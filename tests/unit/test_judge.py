from dataclasses import dataclass, field

import numpy as np
import pytest

from worker.judge import EmissionPolicy, RecentScores, effective_p, judge, with_own_batch
from worker.types.judgement import Claims, Emission, EmittedBy
from worker.types.windows import MagnitudeKind, WindowBatch


@dataclass
class Scored:
    score: np.ndarray


@dataclass
class Calibrated:
    p: np.ndarray
    p_input: np.ndarray
    p_provisional: np.ndarray = field(default=None)

    def __post_init__(self):
        if self.p_provisional is None:
            self.p_provisional = np.full(len(self.p), np.nan)


def windows(n_points, kind=None):
    rows = len(n_points)
    offsets = np.concatenate([[0], np.cumsum(n_points)]).astype(np.int64)
    values = np.zeros(offsets[-1])
    return WindowBatch(
        packet=np.arange(rows, dtype=np.int32),
        offsets=offsets,
        jd=values,
        mag=values,
        err=values,
        kind=np.zeros(rows, np.uint8) if kind is None else np.asarray(kind, np.uint8),
        excluded=np.zeros(rows, np.int32),
        curve_hash=np.zeros(rows, np.int64),
        n_points_band=np.zeros((rows, 3), np.int32),
    )


def decide(p, p_input=None, *, score=None, provisional=None, points=None, kind=None, names=None,
           jd=None, first=None, emissions=None, recent=None, policy=None):  # fmt: skip
    n = len(p)
    return judge(
        windows([20] * n if points is None else points, kind),
        names or [f"Z{i}" for i in range(n)],
        list(range(n)),
        np.arange(n, dtype=float) if jd is None else np.asarray(jd, float),
        Scored(np.zeros(n) if score is None else np.asarray(score, float)),
        Calibrated(
            np.asarray(p, float),
            np.ones(n) if p_input is None else np.asarray(p_input, float),
            None if provisional is None else np.asarray(provisional, float),
        ),
        Claims(
            np.ones(n, bool) if first is None else np.asarray(first),
            emissions or [()] * n,
        ),
        recent or RecentScores(),
        policy or EmissionPolicy(),
    )


def test_an_empty_batch_is_judged_empty():
    verdict = decide([])
    assert verdict.outcome == []
    assert len(verdict.emitted_by) == 0


def test_the_alarm_budget_is_split_80_to_20():
    verdict = decide([0.008, 0.0081, 0.5, 0.001], [1, 0.002, 0.0021, 0.002])
    assert verdict.outcome == ["emitted", "emitted", "withheld.below", "emitted"]
    assert verdict.emitted_by.tolist() == [
        EmittedBy.SCORE,
        EmittedBy.INPUT,
        EmittedBy.NONE,
        EmittedBy.BOTH,
    ]


def test_few_points_come_before_below():
    verdict = decide([0.001, 0.9, 0.001], points=[9, 9, 10])
    assert verdict.outcome == ["withheld.few_points", "withheld.few_points", "emitted"]
    assert verdict.emitted_by[0] == EmittedBy.NONE


def test_a_score_that_is_not_finite_is_a_dead_letter_of_that_row_alone():
    verdict = decide([0.001, np.nan], score=[1, np.nan])
    assert verdict.outcome == ["emitted", "dead_letter.non_finite_score"]


def test_a_candid_claimed_elsewhere_is_a_duplicate_however_strange():
    assert decide([0.0001], first=[False]).outcome == ["duplicate"]


@pytest.mark.parametrize(
    ("earlier_p", "earlier_jd", "expected"),
    [
        (0.002, 90.0, "emitted"),
        (0.0019, 90.0, "withheld.repeated"),
        (0.0001, 9.9, "emitted"),  # older than 90 days
        (0.0001, 100.0, "emitted"),  # not earlier than this alert
    ],
)
def test_an_object_is_emitted_again_only_at_half_of_its_smallest_p(earlier_p, earlier_jd, expected):
    emission = Emission(candid=1, jd=earlier_jd, p=earlier_p)
    verdict = decide([0.001], jd=[100.0], emissions=[[emission]])
    assert verdict.outcome == [expected]


def test_emissions_inside_a_batch_count_by_jd_and_not_by_row():
    verdict = decide([0.001, 0.002, 0.0009], names=["A", "A", "A"], jd=[2, 1, 3])
    assert verdict.outcome == ["emitted", "emitted", "withheld.repeated"]


def test_an_alert_knows_the_earlier_emissions_of_its_own_batch():
    names, jd, p = ["A", "B", "A", "A"], [1.0, 2.0, 3.0, 0.5], [0.002, 0.001, 0.0009, 0.5]
    old = Emission(candid=77, jd=-3.0, p=0.01)
    given = Claims(np.ones(4, bool), [[old], (), [old], [old]])
    verdict = decide(p, names=names, jd=jd, emissions=given.emissions)
    assert verdict.outcome == ["emitted", "emitted", "emitted", "withheld.below"]
    claims = with_own_batch(given, verdict, names, range(4), np.array(jd), np.array(p))
    assert list(claims.emissions) == [[old], [], [old, Emission(0, 1.0, 0.002)], [old]]
    again = with_own_batch(claims, verdict, names, range(4), np.array(jd), np.array(p))
    assert list(again.emissions) == list(claims.emissions)


def test_an_uncalibrated_survey_emits_the_two_strangest_of_window_and_batch():
    nan = [np.nan] * 4
    verdict = decide(nan, nan, provisional=[0.4, 0.1, 0.2, 0.3], score=[1, 1, 1, 1])
    assert verdict.outcome == ["withheld.below", "emitted", "emitted", "withheld.below"]


def test_ties_of_the_provisional_p_are_broken_by_the_score():
    nan = [np.nan] * 3
    verdict = decide(nan, nan, provisional=[0.1, 0.1, 0.1], score=[1, 3, 2])
    assert verdict.outcome == ["withheld.below", "emitted", "emitted"]


def test_the_provisional_window_is_kept_per_kind_and_bounded():
    kinds = [MagnitudeKind.DIFFERENCE, MagnitudeKind.APPARENT]
    recent = RecentScores({MagnitudeKind.DIFFERENCE: np.array([[0.01, 0.0], [0.02, 0.0]])})
    nan = [np.nan, np.nan]
    verdict = decide(nan, nan, provisional=[0.1, 0.1], kind=kinds, recent=recent)
    assert verdict.outcome == ["withheld.below", "emitted"]
    rows = np.ones(1200, dtype=bool)
    grown = recent.extended(
        np.zeros(1200, np.uint8),
        Calibrated(np.full(1200, np.nan), np.ones(1200), np.linspace(0, 1, 1200)),
        Scored(np.zeros(1200)),
        rows,
    )
    assert len(grown.keys[MagnitudeKind.DIFFERENCE]) == 1000
    assert grown.keys[MagnitudeKind.DIFFERENCE][-1, 0] == 1.0


def test_the_provisional_p_never_decides_for_a_calibrated_survey():
    verdict = decide([0.5, 0.6], provisional=[0.0001, 0.0002])
    assert verdict.outcome == ["withheld.below", "withheld.below"]


def test_effective_p_prefers_the_calibrated_one():
    values = Calibrated(np.array([0.5, np.nan]), np.ones(2), np.array([0.1, 0.2]))
    assert effective_p(values).tolist() == [0.5, 0.2]
