"""Whether a folder can be written to, said before work begins. Knows nothing of what goes into it."""

import os
from pathlib import Path

from assay.errors import ConfigError


def require_writable(out: Path) -> None:
    """Raise ConfigError where `out` is no folder, cannot become one, or is closed to the user."""
    nearest = next(place for place in (out, *out.absolute().parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise ConfigError(f"--out {out}: {nearest} is no folder; give another.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigError(f"--out {out}: you may not write in {nearest}; give another.")
