"""Models by name on the hub: telling a name from a path, and fetching single files. Loads nothing."""

import re
from pathlib import Path

from assay.errors import ModelError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def is_hub_id(name: str) -> bool:
    """Whether `name` can be a hub id: `name` or `owner/name`, nothing that can only be a path."""
    return HUB_ID.fullmatch(name) is not None


def fetch(repository: str, filename: str, *, revision: str | None = None) -> Path | None:
    """The local copy of one file of a hub repository, downloaded if needed; None if it has no such file.

    Raises ModelError when the repository does not exist, is closed to the user, or cannot be reached.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    try:
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
