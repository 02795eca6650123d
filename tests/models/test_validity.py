"""p-values of real inliers that no head saw: shares flagged, agreement, leaks."""

from pathlib import Path

import numpy as np
import pytest

from models import default_artifact
from models.data import load_curves
from models.grown import unseen
from models.protocols import first_points
from models.scorer import Scorer
from models.validity import (
    PATTERNS,
    WHOLE,
    agreement,
    flagged,
    large_surveys,
    leaks,
    sample,
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


@needs_curves
def test_p_does_not_follow_how_an_object_was_observed(young):
    found = leaks(young, list(splits(young)), list(splits(young, WHOLE)))
    assert {group for group, *_ in found} >= {"ECL", "LPV", "RRL"}
    for group, _, count, values in found:
        for (name, limit), value in zip(LIMITS.items(), values, strict=True):
            if np.isnan(value):  # all curves have one length
                continue
            # A correlation of so many curves is uncertain itself.
            assert abs(value) <= limit + 2 / np.sqrt(count), (group, name, value)


@needs_curves
def test_the_report_has_every_table(young):
    text = report([young])
    for word in ("10 points", "whole", "35 bins", "RRL", *PATTERNS):
        assert word in text
