"""The private flag `_nrt` of Numba: used by every entry point, obeyed, and worth having.

A Numba that refuses it fails at the import of the decoder, naming it.
"""

import numba
import numpy as np
import pytest
from numba.core.errors import TypingError

from worker.decode import container, jit, kernel, ops

ENTRIES = (container.recognise, kernel.run, ops.walk)
SIGNATURE = "void(float64[:, :], float64[:])"


def first_of_each(rows, out):
    """A view of each row, as the kernel takes them."""
    for i in range(len(rows)):
        row = rows[i]
        out[i] = row[0]


def sum_of_zeros(count):
    return np.zeros(count).sum()


def machine_code(function):
    (text,) = function.inspect_llvm().values()
    return text


def test_every_entry_point_is_compiled_with_it():
    assert [function.targetoptions["_nrt"] for function in ENTRIES] == [False, False, False]


def test_no_reference_is_counted():
    function = numba.njit(SIGNATURE, **jit._FLAGS)(first_of_each)
    assert "NRT_" not in machine_code(function)
    out = np.empty(3)
    function(np.arange(6.0).reshape(3, 2), out)
    assert out.tolist() == [0, 2, 4]


def test_nothing_can_be_allocated():
    with pytest.raises(TypingError, match="returning of array"):
        numba.njit("float64(int64)", **jit._FLAGS)(sum_of_zeros)


def test_without_it_both_would_be():
    """Else the flag gains nothing and should go."""
    flags = {name: value for name, value in jit._FLAGS.items() if name != "_nrt"}
    assert "NRT_decref" in machine_code(numba.njit(SIGNATURE, **flags)(first_of_each))
    assert numba.njit("float64(int64)", **flags)(sum_of_zeros)(3) == 0
