"""How the process treats memory and idle threads; must run before torch is imported. Knows no commands.

Small models allocate and free large buffers at every step. glibc would give them back to the kernel each time
and fault them in again, and idle OpenMP threads would spin on a core that others need; either made
small-model steps several times slower when measured (docs/decisions.md). A person's own settings go first.
"""

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def settle_process() -> None:
    """Keep freed memory, let idle threads sleep. Does nothing where the platform has no such switch."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)
