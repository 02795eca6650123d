"""`model pretrain` and `model finetune` from parquet to an encoder that scores."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.data import load_curves, without_transients
from models.engine import Embedder
from models.simulate import simulate_curves
from models.weights import load_encoder
from worker.__main__ import main

SMALL = ("--layers", "1", "--width", "16", "--heads", "2", "--hidden", "16", "--points", "400",
         "--longest", "40", "--simulated", "0")  # fmt: skip


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return stop.value.code


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    """300 curves; the last 30 are flares of CRTS, 30 before them of a non-commercial source."""
    curves = simulate_curves(4, 300, ["RRL", "ECL", "LPV"])
    bounds = [slice(a, b) for a, b in zip(curves.offsets[:-1], curves.offsets[1:], strict=True)]
    rows = len(curves)
    group = [*curves.group.tolist()[:270], *["FLARE"] * 30]
    path = tmp_path_factory.mktemp("curves") / "curves.parquet"
    table = pa.table(
        {
            "object_id": [f"object-{i}" for i in range(rows)],
            "survey": [*["ASAS"] * 270, *["CRTS"] * 30],
            "band": ["V"] * rows,
            "class": group,
            "class_group": group,
            "mag_kind": ["apparent"] * rows,
            "source": [*["a/b"] * 240, *["JesusPetro/mantra"] * 30, *["a/b"] * 30],
            "mjd": [curves.time[b].tolist() for b in bounds],
            "mag": [curves.mag[b].tolist() for b in bounds],
            "magerr": [curves.err[b].tolist() for b in bounds],
        }
    )
    pq.write_table(table, path)
    return path


def test_what_training_may_not_see(parquet):
    curves = load_curves([parquet])
    assert len(curves) == 270
    assert len(without_transients(curves)) == 240
    assert "FLARE" not in without_transients(curves).group


def test_pretrain_then_finetune(parquet, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    assert run("model", "pretrain", "--data", parquet, "--out", first, "--steps", 3, *SMALL) == 0
    record = json.loads((first / "config.json").read_text())
    assert set(record["curves_seen"]) == {"ASAS"}
    assert record["curves_left_out"] == ["P2a_crts_transients"]
    assert record["labels_seen"] == []
    assert len(list(csv.reader((first / "log.csv").open()))) == 2
    capsys.readouterr()
    code = run("model", "finetune", "--data", parquet, "--encoder", first, "--out", second,
               "--steps", 3, "--points", 400, "--leave-out-class", "LPV")  # fmt: skip
    assert code == 0
    assert "mean recall" in capsys.readouterr().out
    labels = json.loads((second / "config.json").read_text())["labels_seen"]
    assert "RRL" in labels
    assert "LPV" not in labels
    embedder = Embedder(load_encoder(second))
    jd, mag = np.arange(20.0), 18 + np.sin(np.arange(20.0))
    assert np.isfinite(embedder.embed(np.array([0, 20]), jd, mag, np.full(20, 0.1))).all()


def test_nothing_to_resume(parquet, tmp_path, capsys):
    code = run("model", "pretrain", "--data", parquet, "--out", tmp_path, "--resume", *SMALL)
    assert code == 78
    assert "nothing to resume" in capsys.readouterr().err


def test_unknown_part(parquet, tmp_path):
    assert run("model", "pretrain", "--data", parquet, "--out", tmp_path, "--parts", "all") == 2
