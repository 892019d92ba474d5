"""How the process treats memory, idle threads and chatter of packages; runs before torch is imported.

Knows no commands. Small models allocate and free large buffers at every step. glibc would give them back to
the kernel each time and fault them in again, and idle OpenMP threads would spin on a core that others need;
either made small-model steps several times slower when measured (docs/decisions.md). A person's own settings
go first.
"""

import ctypes
import logging
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def settle_process() -> None:
    """Keep freed memory, let idle threads sleep. Does nothing where the platform has no such switch.

    bitsandbytes, which PEFT imports where it is installed, misses at import a kernel for inference that is
    not used here (`assay.models.four_bits`), and would say so before every command.
    """
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)
