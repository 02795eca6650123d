"""p-values of real inliers that no head saw: shares flagged, agreement, leaks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models import default_artifact
from models.data import cut_rows, load_curves
from models.grown import unseen
from models.protocols import first_points
from models.scorer import Scorer
from models.validity import (
    ONE_ALERT,
    PATTERNS,
    WHOLE,
    Sample,
    agreement,
    flagged,
    large_surveys,
    leaks,
    one_each,
    sample,
    scored,
    splits,
)
from worker.commands.model.validity import report

LABELLED = Path(__file__).parents[3] / "shared/data/lightcurves/labelled.parquet"
needs_curves = pytest.mark.skipif(not LABELLED.is_file(), reason="the real curves are not here")

SURVEY = "ASAS"
LIMITS = dict(zip(PATTERNS, (0.3, 0.3, 0.3, 0.45), strict=True))


@pytest.fixture(scope="module")
def scorer():
    return Scorer.load(default_artifact(), "cpu")


@pytest.fixture(scope="module")
def inliers(scorer):
    curves = unseen(load_curves([LABELLED]), scorer.classes)
    assert SURVEY in large_surveys(curves)
    return curves.take(np.flatnonzero(curves.survey == SURVEY))


@pytest.fixture(scope="module")
def young(scorer, inliers):
    """Before the first period: lengths that cost little. `model validity` takes whole curves."""
    return sample(scorer, first_points(inliers, 39), SURVEY, (10, 20))


@pytest.fixture(scope="module")
def ended(scorer, inliers):
    """Whole curves, and each at one random length, as a stream has it."""
    n = np.diff(inliers.offsets)
    length = np.exp(np.random.default_rng(0).uniform(np.log(5), np.log(n + 1))).astype(np.int64)
    index, offsets = cut_rows(inliers.offsets, np.zeros_like(n), np.clip(length, 5, n))
    alerts = replace(inliers, offsets=offsets, time=inliers.time[index],
                     mag=inliers.mag[index], err=inliers.err[index])  # fmt: skip
    return Sample(SURVEY, scored(scorer, alerts), {}, scored(scorer, inliers))


@needs_curves
def test_inliers_are_flagged_at_the_nominal_rate_at_every_length(young):
    shares = flagged(young, list(splits(young)))
    assert set(shares) == {"10", "20", "whole", "grown"}
    for name, (mean, _, count) in shares.items():
        # The pool is finite: its own error, of the judged and of those that calibrate.
        error = np.sqrt(2 * 0.01 / count)
        assert 0.007 - error <= mean <= 0.015 + error, shares
        assert count > 1300, name
    assert 0.005 <= shares["grown"][0] <= 0.02


@needs_curves
def test_p_of_unseen_inliers_agrees_with_the_calibration_set(young):
    found = agreement(young, list(splits(young)))
    assert [name for name, *_ in found] == ["all lengths", *map(str, range(5, 40))]
    for name, count, p, passed in found:
        assert count >= 200, name
        assert p >= 0.01, name
        assert passed >= 0.9, name


def check_leaks(part, each, slack=0.0):
    """Every large class within LIMITS, and the sampling error of so many curves times `slack`."""
    found = leaks(part, each)
    assert {group for group, *_ in found} >= {"ECL", "LPV", "RRL"}
    limit = np.array(list(LIMITS.values()))
    for group, count, values in found:
        same = np.isnan(values)  # all curves have one length
        assert (same | (np.abs(values) <= limit + slack / np.sqrt(count))).all(), (group, values)


@needs_curves
def test_p_does_not_follow_how_an_object_was_observed(young):
    check_leaks(young.whole, list(splits(young, WHOLE)), slack=2.0)
    check_leaks(one_each(young.grown), list(splits(young)), slack=2.0)


@needs_curves
@pytest.mark.parametrize("kind", [WHOLE, ONE_ALERT])
def test_p_of_a_whole_curve_does_not_follow_how_its_object_was_observed(ended, kind):
    check_leaks(ended.whole, list(splits(ended, kind)))


@needs_curves
def test_the_report_has_every_table(young):
    text = report([young])
    for word in ("10 points", "whole", "35 bins", "RRL", *PATTERNS):
        assert word in text
