"""The authors' weights without TensorFlow: both forms, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch

from models.convert import architecture, describe, from_arrays, load_any, read_arrays
from models.weights import WeightsError, load_encoder, save_encoder
from tests.astromer_vectors import CHECKPOINTS, REFERENCE, module, needs_vectors, weights
from worker.__main__ import main

pytestmark = needs_vectors


@pytest.mark.parametrize(
    ("version", "count", "parameters"), [(1, 38, 661_505), (2, 126, 3_953_409)]
)
def test_both_forms_hold_the_same(version, count, parameters):
    from_checkpoint = read_arrays(REFERENCE / CHECKPOINTS[version])
    from_npz = read_arrays(weights(version))
    assert len(from_checkpoint) == count
    assert from_checkpoint.keys() == from_npz.keys()
    for name, array in from_npz.items():
        np.testing.assert_array_equal(from_checkpoint[name], array)
    about = describe(module(version))
    assert about["parameters"] == parameters
    assert about["encoder_parameters"] == parameters - 769
    assert about["gflop_per_window"] == pytest.approx({1: 0.3443, 2: 1.8188}[version], abs=1e-4)


def test_a_missing_variable_is_named():
    arrays = read_arrays(weights(2))
    del arrays["encoder/enc_layers/3/reshape_leak_2/bias"]
    with pytest.raises(WeightsError, match=r"missing.*enc_layers/3/reshape_leak_2/bias"):
        from_arrays(arrays)


def test_an_unknown_variable_is_named():
    arrays = {**read_arrays(weights(1)), "encoder/surprise": np.zeros(1, dtype=np.float32)}
    with pytest.raises(WeightsError, match=r"unknown.*surprise"):
        from_arrays(arrays)


def test_a_misshapen_variable_is_named():
    arrays = read_arrays(weights(1))
    arrays["encoder/enc_layers/1/mha/wq/kernel"] = np.zeros((256, 128), dtype=np.float32)
    with pytest.raises(WeightsError, match=r"blocks\.1\.attention\.query\.weight"):
        from_arrays(arrays)


def test_a_mask_token_is_accepted():
    arrays = {**read_arrays(weights(2)), "encoder/msk_token": np.full((1, 1), 0.3, np.float32)}
    assert architecture(arrays).mask_token
    assert from_arrays(arrays).mask_token.item() == pytest.approx(0.3)


def test_arrays_of_something_else(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    with pytest.raises(WeightsError, match="no Astromer"):
        load_any(tmp_path / "x.npz")


@pytest.fixture
def checkpoint(tmp_path):
    for path in (REFERENCE / "a1/checkpoint_macho_a0").glob("weights.*"):
        shutil.copyfile(path, tmp_path / path.name)
    return tmp_path / "weights"


def test_a_changed_byte_is_noticed(checkpoint):
    data = checkpoint.with_name("weights.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[1_066_000] ^= 1
    data.write_bytes(content)
    with pytest.raises(WeightsError, match="checksum"):
        load_any(checkpoint)


@pytest.mark.parametrize("size", [0, 1_000_000])
def test_a_cut_file_is_noticed(checkpoint, size):
    data = checkpoint.with_name("weights.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:size])
    with pytest.raises(WeightsError, match="bytes where"):
        load_any(checkpoint)


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_no_index(checkpoint, content):
    checkpoint.with_name("weights.index").write_bytes(content)
    with pytest.raises(WeightsError, match="no TensorFlow checkpoint index"):
        load_any(checkpoint)


def test_every_cut_of_an_index_is_refused(checkpoint):
    index = checkpoint.with_name("weights.index")
    content = index.read_bytes()
    for size in range(48, len(content) - 48, 97):
        index.write_bytes(content[:size] + content[-48:])
        with pytest.raises(WeightsError):
            load_any(checkpoint)


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return stop.value.code


@pytest.mark.parametrize("version", [1, 2])
def test_commands(version, tmp_path, capsys):
    out, golden = tmp_path / "W.safetensors", REFERENCE / f"a{version}" / "golden.npz"
    windows = REFERENCE / "windows.npz"
    assert run("model", "convert", "--from", REFERENCE / CHECKPOINTS[version], "--out", out) == 0
    (tmp_path / "config.json").rename(tmp_path / "elsewhere")  # the file alone is enough
    embedded = tmp_path / "embedded.npz"
    assert run("model", "embed", "--weights", out, "--windows", windows, "--out", embedded) == 0
    with np.load(embedded) as found, np.load(golden) as wanted:
        for name in ("mean_by_layer", "max_last", "skip_gamma_init", "reconstruction"):
            assert found[name].shape == wanted[name].shape
    capsys.readouterr()
    assert run("model", "verify", out, "--windows", windows, "--golden", golden, "--json") == 0
    assert json.loads(capsys.readouterr().out)["windows"] == 16
    assert run("model", "inspect", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["encoder"]["version"] == version


def test_verify_notices_other_weights(tmp_path, capsys):
    arrays = read_arrays(weights(1))
    arrays["encoder/enc_layers/1/mha/wq/kernel"] = arrays["encoder/enc_layers/1/mha/wq/kernel"].T
    np.savez(tmp_path / "wrong.npz", **arrays)
    code = run("model", "verify", tmp_path / "wrong.npz", "--windows", REFERENCE / "windows.npz",
               "--golden", REFERENCE / "a1/golden.npz")  # fmt: skip
    assert code == 78
    assert "differs" in capsys.readouterr().err


def test_embed_refuses_nan(tmp_path, capsys):
    with np.load(REFERENCE / "windows.npz") as file:
        found = {n: file[n].copy() for n in ("input", "times", "mask_in")}
    found["input"][3, 5] = np.nan
    np.savez(tmp_path / "in.npz", **found)
    code = run("model", "embed", "--weights", weights(1), "--windows", tmp_path / "in.npz",
               "--out", tmp_path / "out.npz")  # fmt: skip
    assert code == 78
    assert "input of window 3 is not finite" in capsys.readouterr().err


def test_half_precision_round_trip(tmp_path):
    save_encoder(module(1), tmp_path, {"encoder": describe(module(1))["encoder"]})
    again = load_encoder(tmp_path)
    for name, tensor in module(1).state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor.half().float())
