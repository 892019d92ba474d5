"""Names for settings: two runs with the same fingerprint compute the same thing."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest(*parts: bytes | str) -> str:
    """SHA-256 over length-prefixed parts, first 16 hex digits."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8, "little"))
        sha.update(data)
    return sha.hexdigest()[:16]


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Digest of JSON-like settings, independent of key order."""
    return digest(json.dumps(settings, sort_keys=True, ensure_ascii=False, allow_nan=False))


def differing_fields(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Names of the fields whose values differ, sorted."""
    return sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
