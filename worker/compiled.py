"""Machine code that was compiled before: an image holds it, its root is read-only."""

import atexit
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"


def use_compiled() -> None:
    """Let Numba read a cache that it can't write to; to be called before it is imported.

    It takes no cache that is read-only, so a temporary copy stands in for the process' time.
    Without a place for the copy everything stays as it is.
    """
    source = Path(os.environ.get(VARIABLE, ""))
    if VARIABLE not in os.environ or not source.is_dir() or os.access(source, os.W_OK):
        return
    with suppress(OSError):
        copy = Path(tempfile.mkdtemp(prefix="anomaly-worker-compiled-"))
        atexit.register(shutil.rmtree, copy, ignore_errors=True)
        for file in source.rglob("*"):
            if file.is_file():
                target = copy / file.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
        os.environ[VARIABLE] = str(copy)
