"""The benchmark compares like with like."""

import numpy as np
import pytest
import torch

from models.astromer import Astromer, AstromerConfig
from models.engine import Embedder
from models.speed import _Plain, measure, random_curves, stream_lengths
from models.straightforward import embed

TINY = {"layers": 1, "width": 16, "heads": 2, "hidden": 16}


@pytest.mark.parametrize("options", [{}, {"pooling": "mean_max", "targets": 3}])
def test_both_compute_the_same(options):
    torch.manual_seed(0)
    module = Astromer(AstromerConfig(**TINY, **options)).eval()
    curves = random_curves(np.random.default_rng(1), np.array([5, 40, 200, 199]))
    plain = embed(module, *_Plain(module, "cpu", curves)._tensors).numpy()
    np.testing.assert_allclose(plain, Embedder(module).embed(*curves), atol=1e-5)


def test_lengths_of_a_stream():
    lengths = stream_lengths(np.random.default_rng(1), 20_000)
    assert abs(np.median(lengths) - 30) <= 1
    assert lengths.min() == 5
    assert lengths.max() == 200
    assert 0.04 < (lengths == 200).mean() < 0.06


def test_measure_reports_what_the_readme_shows():
    found = measure(Astromer(AstromerConfig(**TINY)).eval(), "cpu", "fp32", 16, 1)
    assert found["windows_per_s"] > 0
    assert found["times_faster"] > 0
    assert [row["points"] for row in found["by_length"]] == [10, 20, 50, 100, 200]
