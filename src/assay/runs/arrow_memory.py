"""Where Arrow takes its memory from while tables are written."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa


@contextmanager
def from_the_system() -> Iterator[None]:
    """Arrow asks the system for memory within the block; its own allocator keeps tens of MB that are free."""
    before = pa.default_memory_pool()
    if before.backend_name != "system":
        pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)
