"""A calibration from an archive: curves as they grow, of objects that trained no head."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from models.bins import bin_of
from models.calibration import CalibrationError, load_calibration
from models.grown import as_they_grow, calibrating, unseen
from models.protocols import first_points
from models.simulate import simulate_curves
from worker.__main__ import cli

CLASSES = ("ECL", "RRL")


def archive(count, label="", survey="here"):
    """Young apparent curves, so that few bins are scored."""
    curves = first_points(simulate_curves(9, 2 * count, ["RRL", "ECL"]), 12)
    curves = curves.take(np.flatnonzero(curves.apparent)[:count])
    assert len(curves) == count
    names = np.array([f"star-{i}" for i in range(count)])
    text = {"survey": np.full(count, survey), "group": np.full(count, label)}
    return replace(curves, object_id=names, label=text["group"], **text)


def test_every_curve_comes_once_in_every_bin_that_it_reached():
    curves = simulate_curves(3, 40)
    grown = as_they_grow(np.random.default_rng(0), curves)
    n, length = np.diff(curves.offsets), np.diff(grown.offsets)
    for row, name in enumerate(curves.object_id.tolist()):
        mine = np.flatnonzero(grown.object_id == name)
        bins = bin_of(length[mine]).tolist()
        assert bins == list(range(bin_of(np.array([n[row]]))[0] + 1))
        first = curves.offsets[row]
        for piece in mine.tolist():
            start, stop = grown.offsets[piece], grown.offsets[piece + 1]
            np.testing.assert_array_equal(grown.time[start:stop],
                                          curves.time[first : first + stop - start])  # fmt: skip


def test_objects_that_trained_a_head_calibrate_nothing():
    known = archive(200, "RRL")
    left = unseen(known, CLASSES)
    assert 0 < len(left) < 60, "the part cal alone"
    assert len(unseen(known, ("LPV",))) == 200
    assert len(unseen(archive(50), CLASSES)) == 50, "no label trains nothing"


def test_too_few_objects_are_no_calibration():
    with pytest.raises(CalibrationError, match="'apparent': 300"):
        calibrating(archive(300), "here", CLASSES)
    with pytest.raises(CalibrationError, match="'apparent': 0"):
        calibrating(archive(300), "elsewhere", CLASSES)


def test_an_archive_calibrates_a_survey(tmp_path):
    curves = archive(1000)
    pieces = [slice(*pair) for pair in zip(curves.offsets[:-1], curves.offsets[1:], strict=True)]
    columns = {"object_id": curves.object_id, "survey": curves.survey, "band": curves.band,
               "class": curves.label, "class_group": curves.group}  # fmt: skip
    table = pa.table({
        **{name: values.tolist() for name, values in columns.items()},
        "mag_kind": ["apparent"] * 1000, "source": ["archive"] * 1000,
        "mjd": [curves.time[p].tolist() for p in pieces],
        "mag": [curves.mag[p].tolist() for p in pieces],
        "magerr": [curves.err[p].tolist() for p in pieces],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "archive.parquet")
    out = tmp_path / "here.safetensors"
    arguments = ["model", "calibrate", "--set", "source.survey=here", "--out", str(out)]
    done = CliRunner().invoke(cli, [*arguments, "--data", str(tmp_path / "archive.parquet")])
    assert done.exit_code == 0, done.output
    found = load_calibration(out)
    (n,) = found.n_points.values()
    assert (n == 5).sum() == 1000, "every object, at every length"
    assert len(n) > 3000
    both = CliRunner().invoke(cli, arguments)
    assert both.exit_code == 2
    assert "either" in both.output
