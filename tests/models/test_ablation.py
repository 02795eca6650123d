"""The rows of the ablation table."""

from dataclasses import replace

import pytest

from models.ablation import RECIPE, ROWS, named
from models.astromer import Astromer


def test_every_row_of_the_ablation_is_an_encoder():
    for row in ROWS.values():
        assert Astromer(replace(RECIPE, **row.config)).summary_size > 0
    with pytest.raises(ValueError, match="no such rows"):
        named(["a row of nobody"])
