"""Memory that a batch frees is taken again by the next one, not cleared anew by the kernel."""

import subprocess
import sys

import pytest

BATCHES = """
import resource
{before}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        [b"x" * n for n in range(75_000, 76_000)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def faults(before: str) -> int:
    """Page faults of five batches of 75 MB, in a process of its own."""
    command = [sys.executable, "-c", BATCHES.format(before=before)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc's heap is tuned")
def test_a_batch_takes_the_memory_of_the_one_before() -> None:
    reused = faults("from worker.reuse import reuse_memory; reuse_memory()")
    assert reused < 0.2 * faults("")
