"""Code that was compiled when an image was built is used where nothing can be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.compiled import use_compiled

START = """
import os, sys
image = os.environ["NUMBA_CACHE_DIR"]
# What a read-only file system says, also to root.
os.access = lambda path, mode: image not in str(path)
from worker.compiled import use_compiled
use_compiled()
from models.features import side_features
from models.period import _describe
from worker.commands.compile import compile_all
from worker.curve_hash import _hashes
from worker.decode import kernel
from worker.light_curve import as_of, broken, newest_own
from worker.photometry import corrected, sort_out, stretches
compile_all.callback()
curves = as_of, broken, newest_own, _hashes, corrected, sort_out, stretches
for function in (kernel.run, *curves, side_features, _describe):
    assert sum(function.stats.cache_hits.values()) == 1, function
    assert not sum(function.stats.cache_misses.values()), function
print(os.environ["NUMBA_CACHE_DIR"])
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A cache as `compile` leaves it."""
    folder = tmp_path_factory.mktemp("compiled")
    python("-m", "worker", "compile", cache=folder)
    return folder


def python(*arguments, cache):
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_read_only_cache_holds_all_that_a_start_compiles(image):
    before = {file: file.stat().st_mtime_ns for file in image.rglob("*")}
    used = Path(python("-c", START, cache=image))
    assert used != image
    assert not used.exists()  # the copy goes with the process
    assert {file: file.stat().st_mtime_ns for file in image.rglob("*")} == before


def test_a_writable_cache_is_used_in_place(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    use_compiled()
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path)


def test_without_a_place_for_a_copy_nothing_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    use_compiled()
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path)
