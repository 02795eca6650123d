"""Training: every task learns, a resumed run equals one that was not stopped."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.astromer import Astromer, AstromerConfig
from models.finetune import FinetunePlan, finetune
from models.pretrain import PretrainPlan, TrainingError, pretrain
from models.simulate import simulate_curves
from models.tasks import TARGET_NAMES, Draw, MaskedTask, by_survey
from models.weights import load_encoder, read_record

TINY = AstromerConfig(
    layers=1, width=16, heads=2, hidden=16, positions="log", channels="mag_error",
    pooling="mean_max", dropout=0.1,
)  # fmt: skip
PLAN = PretrainPlan(steps=6, points=400, longest=40, warm_up_steps=2, save_every=3)


def config(task):
    return replace(TINY, targets=len(TARGET_NAMES)) if task == "properties" else TINY


@pytest.fixture(scope="module")
def curves():
    return simulate_curves(8, 60)


def quiet(step, loss):
    pass


@pytest.mark.parametrize("task", ["properties", "masked", "hidden"])
def test_a_resumed_run_is_the_same_run(task, curves, tmp_path):
    plan = replace(PLAN, task=task, weighted=task == "masked")
    straight = pretrain(config(task), curves, plan, tmp_path / "a", quiet)

    class StoppedError(Exception):
        pass

    def stop(step, loss):
        if step == 4:
            raise StoppedError

    with pytest.raises(StoppedError):
        pretrain(config(task), curves, plan, tmp_path / "b", stop)
    resumed = pretrain(config(task), curves, plan, tmp_path / "b", quiet, resume=True)
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    logs = [list(csv.reader((tmp_path / f / "log.csv").open())) for f in "ab"]
    assert [line[:4] for line in logs[0]] == [line[:4] for line in logs[1]]
    assert not (tmp_path / "b" / "resume.pt").exists()


def test_record(curves, tmp_path):
    pretrain(config("properties"), curves, PLAN, tmp_path, quiet, about={"curves_left_out": ["x"]})
    record = read_record(tmp_path)
    assert record["embedding_names"] == list(TARGET_NAMES)
    assert record["labels_seen"] == []
    assert record["curves_seen"] == {"simulated": 60}
    assert record["curves_left_out"] == ["x"]
    assert record["training"]["loss"][-1][0] == PLAN.steps
    assert load_encoder(tmp_path).config.targets == len(TARGET_NAMES)


def test_other_seeds_give_other_weights(curves, tmp_path):
    runs = [pretrain(TINY, curves, replace(PLAN, task="hidden", steps=1, seed=s), tmp_path, quiet)
            for s in (0, 1)]  # fmt: skip
    assert not torch.equal(runs[0].embed.weight, runs[1].embed.weight)


def test_the_loss_falls(curves, tmp_path):
    seen = []
    plan = replace(PLAN, steps=60, learning_rate=1e-2)
    pretrain(config("properties"), curves, plan, tmp_path, lambda _, loss: seen.append(loss))
    assert np.mean(seen[-10:]) < 0.8 * np.mean(seen[:10])


def test_nothing_or_another_run_to_resume(curves, tmp_path):
    with pytest.raises(TrainingError, match="nothing to resume"):
        pretrain(TINY, curves, PLAN, tmp_path, quiet, resume=True)

    def stop(step, loss):
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(config("properties"), curves, PLAN, tmp_path, stop)
    with pytest.raises(TrainingError, match="another plan"):
        pretrain(config("properties"), curves, replace(PLAN, seed=5), tmp_path, quiet, resume=True)


def test_a_diverging_run_stops(curves, tmp_path):
    plan = replace(PLAN, steps=50, learning_rate=1e30, warm_up_steps=1)
    with pytest.raises(TrainingError, match="the loss of step"):
        pretrain(replace(config("properties"), dropout=0.0), curves, plan, tmp_path, quiet)


@pytest.mark.parametrize("remove", [False, True])
def test_hidden_magnitudes_are_really_hidden(remove, curves):
    """Changing a hidden magnitude moves the published task's answer, not the corrected one's."""
    torch.manual_seed(0)
    module = Astromer(replace(TINY, dropout=0.0, channels="mag")).eval()
    shift = np.zeros_like(curves.mag)
    found = []
    for size in (0.0, 0.5):
        task = MaskedTask(
            curves, Draw(400, 20, 40, by_survey(curves)), remove=remove, weighted=False, width=16
        )
        pieces = task._draw.pieces(np.random.default_rng(3), curves, module.config)
        pieces.x[..., 0] += size * np.random.default_rng(4).normal(size=pieces.times.shape)
        before = pieces.x.copy()
        mask, _ = task._hide(np.random.default_rng(5), pieces)
        hidden = (mask == 1) & pieces.visible
        # Everything but the hidden magnitudes as in the first round.
        pieces.x[~hidden] = found[0][1][~hidden] if found else pieces.x[~hidden]
        tensors = [torch.from_numpy(a) for a in (pieces.x, pieces.times, mask)]
        with torch.inference_mode():
            found.append((module.reconstruct(module(*tensors)[-1])[torch.from_numpy(hidden)],
                          pieces.x, before, shift))  # fmt: skip
    assert torch.equal(found[0][0], found[1][0]) == remove


def test_finetuning_records_its_labels(tmp_path):
    curves = simulate_curves(9, 90, ["RRL", "SN", "ECL"])
    module = Astromer(replace(TINY, dropout=0.0))
    plan = FinetunePlan(steps=60, points=400, longest=40, warm_up_steps=2, learning_rate=1e-2,
                        min_curves=30)  # fmt: skip
    recall = finetune(module, {"encoder": {}, "curves_seen": {"ZTF": 3}}, curves, curves, plan,
                      tmp_path, quiet)  # fmt: skip
    assert recall > 0.5
    record = json.loads((tmp_path / "config.json").read_text())
    assert record["labels_seen"] == ["ECL", "RRL", "SN"]
    assert record["curves_seen"] == {"ZTF": 3, "simulated": 90}
    with pytest.raises(TrainingError, match="two classes"):
        finetune(module, {}, curves, curves, replace(plan, min_curves=31), tmp_path, quiet)
