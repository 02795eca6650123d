"""`model calibrate|drift|compare` read a scores topic."""

import json

from click.testing import CliRunner

from models import default_artifact
from models.artifact import artifact_digest
from models.calibration import load_calibration
from tests.contract.outputs import slim
from worker.__main__ import cli

SURVEY = slim("a", 0.5, candid=1)["survey"]


def invoke(output, *arguments):
    survey = ("--set", f"source.survey={SURVEY}")
    return CliRunner().invoke(cli, ["model", *arguments, *output.arguments, *survey])


def scores(count, model):
    rows = [slim(f"o{i}", (i % 1000 + 0.5) / 1000, candid=i) for i in range(count)]
    return [{**row, "model_sha256": model} for row in rows]


def test_a_stream_calibrates_itself(output, tmp_path):
    model = artifact_digest(default_artifact())
    topic, file = output.topics.scores, tmp_path / "stream.safetensors"
    output.add(*scores(999, model))
    few = invoke(output, "calibrate", "--from-topic", topic, "--out", str(file))
    assert few.exit_code != 0
    assert "'difference': 999" in str(few.exception)
    assert not file.exists()
    output.add(*scores(1000, model)[999:], *scores(50, "another model"))
    done = invoke(output, "calibrate", "--from-topic", topic, "--out", str(file))
    assert done.exit_code == 0, done.output
    found = load_calibration(file)
    assert (found.survey, found.model_sha256) == (SURVEY, model)
    assert [len(values) for values in found.score.values()] == [1000]
    metrics = tmp_path / "drift.prom"
    watched = invoke(output, "drift", "--from-topic", topic, "--textfile", str(metrics))
    assert watched.exit_code == 0, watched.output
    assert "1000 objects" in watched.output
    assert "anomaly_worker_drift_share_below_001" in metrics.read_text()
    same = invoke(output, "compare", topic, topic, "--json")
    assert same.exit_code == 0, same.output
    assert json.loads(same.stdout)["emitted_by_first_only"] == 0
