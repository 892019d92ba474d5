"""Which texts have passed, in 8 bytes each. Knows nothing of what they are."""

import hashlib
from array import array
from bisect import bisect_left

import numpy as np

LEAST, PART = 4096, 64
"""Texts that wait until they are sorted in: so many, or one for so many that are sorted."""


class Seen:
    """Texts that have been added, by the first 64 bits of their digests (BLAKE2b).

    Two different texts of n are taken for one with a probability of about n² / 2^65: less than one in a
    million for five million texts.
    """

    def __init__(self) -> None:
        self._sorted = array("Q")
        self._waiting: set[int] = set()

    def add(self, text: str) -> bool:
        """Whether the text is new; from now on it is not."""
        found = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        key = int.from_bytes(found, "big")
        if key in self._waiting:
            return False
        at = bisect_left(self._sorted, key)
        if at < len(self._sorted) and self._sorted[at] == key:
            return False
        self._waiting.add(key)
        if len(self._waiting) > max(LEAST, len(self._sorted) // PART):
            self._sort()
        return True

    def _sort(self) -> None:
        new = np.fromiter(self._waiting, dtype=np.uint64, count=len(self._waiting))
        whole = np.concatenate([np.frombuffer(self._sorted, dtype=np.uint64), new])
        whole.sort()
        self._sorted = array("Q", whole.tobytes())
        self._waiting = set()
