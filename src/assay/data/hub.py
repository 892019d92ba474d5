"""Rows of a dataset on the hub by its name, through the optional `datasets` package.

Knows nothing of files or formats. Dataset scripts are never run.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from assay.errors import DataError
from assay.online import hub_answers, hushed, offline

HUB_PREFIX = "hub:"
HUB_NAME = re.compile(r"hub:(?P<name>[^:@]+/[^:@]+)(:(?P<config>[^@]+))?(@(?P<split>.+))?")


def hub_rows(source: str) -> Iterator[Mapping[str, Any]]:
    """Stream the rows of `hub:owner/name[:config][@split]`; the split is `train` where none is named."""
    match = HUB_NAME.fullmatch(source)
    if match is None:
        raise DataError(f"{source!r} is not of the form hub:owner/name[:config][@split].")
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"{source} needs the `datasets` package: pip install 'assay[hub]', or download the file."
        ) from error
    return _stream(datasets, source, match["name"], match["config"], match["split"] or "train")


def _stream(
    datasets: Any, source: str, name: str, config: str | None, split: str
) -> Iterator[Mapping[str, Any]]:
    """The rows; whatever `datasets`, the hub or the network raise becomes one kind of error."""
    if not offline() and not hub_answers():
        raise DataError(f"{source} cannot be read: the hub could not be reached.")
    try:
        with hushed():
            rows = datasets.load_dataset(name, config, split=split, streaming=True)
        yield from rows
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{source} cannot be read from the hub: {reason}") from error
