"""Numba with a cache on disk, shared by all processes.

Numba keeps its cache by the file of the function alone; the directory is therefore named after
everything in this room that is compiled, so that no change of a helper is missed.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

_CONFIG: Any = numba.config

ROOM = Path(__file__).parent

COMPILED = ("jit.py", "framing.py", "wire.py", "ops.py", "container.py", "kernel.py")
"""Files whose functions and constants become machine code."""


_FLAGS: dict[str, Any] = {"nogil": True, "_nrt": False}
"""Without Numba's run time there is nothing to count references of: several times faster, since
rows are small and every touch of an array would count; and nothing can be allocated."""

_INNER = {**_FLAGS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def compiled(function: F) -> F:
    """An entry point: machine code that runs without the GIL, kept on disk where possible."""
    if DIRECTORY is None:
        return cast("F", numba.njit(**_FLAGS)(function))
    before, _CONFIG.CACHE_DIR = _CONFIG.CACHE_DIR, str(DIRECTORY)
    try:
        return cast("F", numba.njit(**_FLAGS, cache=True)(function))
    finally:
        _CONFIG.CACHE_DIR = before


def part(function: F) -> F:
    """A function that only compiled ones call: it becomes a part of them, without a call."""
    return cast("F", numba.njit(**_INNER, forceinline=True)(function))


def rare(function: F) -> F:
    """A part that is seldom needed: it is called."""
    return cast("F", numba.njit(**_INNER)(function))


def cache_directory() -> Path | None:
    """Where compiled code is kept, below NUMBA_CACHE_DIR or this package; None: nowhere.

    Numba reads only caches that it can write to; `worker.compiled` makes one of a read-only one.
    """
    digest = hashlib.sha256(b"".join((ROOM / name).read_bytes() for name in COMPILED))
    base = Path(_CONFIG.CACHE_DIR or ROOM / "__pycache__")
    directory = base / f"decode-{digest.hexdigest()[:16]}"
    with suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        if os.access(directory, os.W_OK):
            return directory
    logging.getLogger(__name__).warning(
        "no place for compiled code at %s: the decoder is compiled at every start; "
        "set NUMBA_CACHE_DIR to a writable directory",
        directory,
    )
    return None


DIRECTORY = cache_directory()
