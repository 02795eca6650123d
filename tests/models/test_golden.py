"""`model verify`: an artefact answers as it did when it was made, or says that it does not."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from models import default_artifact
from models.artifact import write_sums
from worker.__main__ import main


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["model", "verify", *(str(a) for a in arguments)])
    return stop.value.code


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """The packaged artefact with a golden batch of its own."""
    copy = tmp_path_factory.mktemp("artifact") / "copy"
    shutil.copytree(default_artifact(), copy)
    assert run(copy, "--record") == 0
    return copy


def test_a_recorded_batch_is_found_again(artifact, capsys):
    assert run(artifact, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["golden_curves"] == 64
    assert max(found["largest_difference"].values()) <= 1e-4


def test_changed_weights_are_noticed(artifact, tmp_path, capsys):
    copy = tmp_path / "changed"
    shutil.copytree(artifact, copy)
    path = copy / "encoder.safetensors"
    tensors = load_file(path)
    tensors["property_head.3.bias"] = tensors["property_head.3.bias"] + 0.5
    path.unlink()
    save_file(tensors, path)
    assert run(copy) == 78
    assert "encoder.safetensors was changed" in capsys.readouterr().err
    write_sums(copy)
    assert run(copy) == 78
    assert "golden batch: embedding differs" in capsys.readouterr().err


def test_the_packaged_artefact_verifies():
    assert run() == 0
