"""Memory of a process that works in batches: what one frees, the next takes again."""

import ctypes
import gc

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 1 << 30
LARGEST_FROM_HEAP = 32 << 20
"""glibc takes no larger value."""


def reuse_memory() -> None:
    """Keep freed memory of the C heap, and the garbage collector away from what start-up made.

    A batch of 75 kB records is some 80 MB; given back to the kernel and asked for again, each of
    its pages is cleared anew, which took a sixth of all processor time. Called once, when
    everything is loaded. Only glibc has the first half; elsewhere it is left out.
    """
    gc.collect()
    gc.freeze()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, LARGEST_FROM_HEAP)
