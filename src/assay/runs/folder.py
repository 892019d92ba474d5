"""Whether a run folder can be written to, and whose it is, said before work begins. Knows no kind of run."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from assay.errors import ConfigError, ResumeError
from assay.files import read_json
from assay.fingerprint import differing_fields

SETTINGS = "settings.json"
"""The file that tells what a run depends on."""


def require_writable(out: Path) -> None:
    """Raise ConfigError where `out` is no folder, cannot become one, or is closed to the user."""
    nearest = next(place for place in (out, *out.absolute().parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise ConfigError(f"--out {out}: {nearest} is no folder; give another.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigError(f"--out {out}: you may not write in {nearest}; give another.")


def refuse_others(out: Path, settings: Mapping[str, Any], what: str, before: Collection[str] = ()) -> None:
    """Raise ResumeError for a folder that was made with other settings, naming what differs.

    `what` is the kind of run ("study"); `before` names what such a run may have left there before these.
    """
    path = out / SETTINGS
    if not path.is_file():
        if out.is_dir() and any(one.name not in before for one in out.iterdir()):
            raise ResumeError(f"{out} is not empty and holds no {what} to go on with; give another --out.")
        return
    try:
        differing = differing_settings(settings, read_json(path))
    except (ValueError, AttributeError) as error:
        raise ResumeError(f"{path} cannot be read; give another --out.") from error
    if differing:
        raise ResumeError(
            f"{out} holds a {what} made with another {', '.join(differing)}; give another --out, or "
            "delete it."
        )


def differing_settings(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Fields that differ, each with those of its own fields that do."""
    return [
        f"{field} ({', '.join(differing_fields(ours[field], theirs[field]))})"
        if isinstance(ours.get(field), dict) and isinstance(theirs.get(field), dict)
        else field
        for field in differing_fields(ours, theirs)
    ]
