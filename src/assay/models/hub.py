"""Models by name on the hub: telling a name from a path, and fetching single files. Loads nothing.

Where the hub does not answer, what it gave before serves.
"""

import re
from pathlib import Path

from assay.errors import ModelError
from assay.online import hub_answers, hushed

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def is_hub_id(name: str) -> bool:
    """Whether `name` can be a hub id: `name` or `owner/name`, nothing that can only be a path."""
    return HUB_ID.fullmatch(name) is not None


def cache_only(source: str) -> bool:
    """Whether `source` must do without the hub: it is a path here, or the hub does not answer."""
    return Path(source).exists() or not hub_answers()


def fetch(repository: str, filename: str, *, revision: str | None = None) -> Path | None:
    """The local copy of one file of a hub repository, downloaded if needed; None if it has no such file.

    Raises ModelError when the repository does not exist, is closed to the user, or cannot be reached.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        if not hub_answers():
            known = try_to_load_from_cache(repository, filename, revision=revision)
            if known is None:
                raise LocalEntryNotFoundError(filename)
            return Path(known) if isinstance(known, str) else None
        with hushed():
            return Path(hf_hub_download(repository, filename, revision=revision))
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"'{repository}' is no folder here, and the hub could not be reached to look for such a model."
        ) from error
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ModelError(
            f"'{repository}' is no folder here, and the hub has no model of that name that is open to you."
        ) from error
