"""A device that fails ends the process with 75; the restart takes what is there."""

import numpy as np
import pytest
import torch

from models.scorer import Scorer as ModelScorer
from worker.commands.device import DeviceLostError, GuardedScorer, guarded, usable_device
from worker.errors import ExitCode, UnavailableError


def failing(error):
    def call(*_args, **_kwargs):
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "out_of_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("CUDA error: device-side assert triggered\nmore"), False),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), False),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory"), True),
    ],
)
def test_a_lost_device_ends_with_75(error, out_of_memory):
    with pytest.raises(DeviceLostError) as caught:
        guarded(failing(error))
    assert caught.value.exit_code == ExitCode.TEMPORARY
    assert caught.value.out_of_memory == out_of_memory
    assert "\n" not in str(caught.value)


def test_a_bug_stays_a_bug():
    with pytest.raises(RuntimeError, match="shapes"):
        guarded(failing(RuntimeError("shapes can't be multiplied")))


def test_the_scorer_is_guarded(monkeypatch):
    monkeypatch.setattr(ModelScorer, "score", failing(torch.OutOfMemoryError("CUDA out of memory")))
    scorer = object.__new__(GuardedScorer)
    nothing = np.array([])
    with pytest.raises(DeviceLostError):
        scorer.score(nothing, nothing, nothing, nothing, nothing)


def test_auto_takes_the_cpu_when_the_gpu_is_seen_and_does_not_work(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", failing(RuntimeError("CUDA error: no device")))
    assert usable_device("auto") == "cpu"
    with pytest.raises(UnavailableError, match="no device"):
        usable_device("cuda")


def test_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert usable_device("auto") == "cpu"
    assert usable_device("cpu") == "cpu"
    with pytest.raises(UnavailableError, match="none is visible"):
        usable_device("cuda")
