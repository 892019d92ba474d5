"""LLaMA-Factory's `dataset_info.json`: a name in it says the file, the format and the names of columns.

Knows the file's entries, not the rows. Follows LLaMA-Factory's defaults: `system`, `history` and `tools`
are read only where the entry maps them.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.data.example import Role
from assay.data.fields import CALL_ROLES, ROLES, Tags
from assay.data.hub import HUB_PREFIX
from assay.errors import DataError

NAMED_ENTRY = re.compile(r"(?P<file>.+\.json):(?P<name>[^/\\:]+)")

ALPACA_COLUMNS = {"prompt": "instruction", "query": "input", "response": "output"}
ALPACA_FIELDS = {
    "prompt": "instruction",
    "query": "input",
    "response": "output",
    "history": "history",
    "system": "system",
    "tools": "tools",
    "chosen": "chosen",
    "rejected": "rejected",
}
SHAREGPT_COLUMNS = {"messages": "conversations"}
SHAREGPT_FIELDS = {
    "messages": "conversations",
    "system": "system",
    "tools": "tools",
    "chosen": "chosen",
    "rejected": "rejected",
}
TAG_ROLES: Mapping[str, Role] = {
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "system_tag": "system",
}


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """Where the rows are, which format they have, and how their fields are called.

    `renames` maps our field names to the user's; fields that it does not name are not read.
    """

    source: str
    format: str
    renames: Mapping[str, str]
    tags: Tags = field(default_factory=Tags)

    def renamed(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields of a record under the names that the format's reader looks for."""
        return {ours: record[theirs] for ours, theirs in self.renames.items() if theirs in record}


def entry_named(source: str) -> DatasetEntry | None:
    """The entry of `path/dataset_info.json:NAME`, or None where `source` is not of that form."""
    match = NAMED_ENTRY.fullmatch(source)
    return None if match is None else from_dataset_info(match["file"], match["name"])


def from_dataset_info(path: str | Path, name: str) -> DatasetEntry:
    """The entry `name`; file names are relative to the folder of `dataset_info.json`."""
    info = _entries(Path(path))
    if name not in info or not isinstance(info[name], Mapping):
        raise DataError(f"{path} has no entry {name!r}; it has {', '.join(sorted(map(str, info)))}.")
    entry = info[name]
    columns = entry.get("columns") or {}
    tags = entry.get("tags") or {}
    if not _all_text(columns) or not _all_text(tags):
        raise DataError(f"{path}, entry {name!r}: 'columns' and 'tags' must map names to names.")
    style = entry.get("formatting", "alpaca")
    where = _place(Path(path), name, entry)
    if style == "alpaca":
        names, fields, format_name = ALPACA_COLUMNS | columns, ALPACA_FIELDS, "alpaca"
    elif style in ("sharegpt", "openai"):
        names, fields, format_name = SHAREGPT_COLUMNS | columns, SHAREGPT_FIELDS, "sharegpt"
    else:
        raise DataError(f"{path}, entry {name!r}: formatting {style!r} is not alpaca, sharegpt or openai.")
    if entry.get("ranking"):
        format_name = "preference"
    renames = {ours: names[theirs] for theirs, ours in fields.items() if names.get(theirs)}
    return DatasetEntry(where, format_name, renames, _tags(tags, openai=style == "openai"))


def registration(source: str, file_name: str) -> dict[str, Any]:
    """The entry of `path/dataset_info.json:NAME` for another file of the same form, as NAME_kept."""
    match = NAMED_ENTRY.fullmatch(source)
    if match is None:
        raise DataError(f"{source!r} is not of the form path/dataset_info.json:NAME.")
    from_dataset_info(match["file"], match["name"])
    entry = _entries(Path(match["file"]))[match["name"]]
    form = {key: entry[key] for key in ("formatting", "ranking", "columns", "tags") if key in entry}
    return {f"{match['name']}_kept": {"file_name": file_name, **form}}


def _entries(path: Path) -> Mapping[str, Any]:
    try:
        info = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}).") from error
    if not isinstance(info, Mapping):
        raise DataError(f"{path} must hold an object of named datasets.")
    return info


def _place(path: Path, name: str, entry: Mapping[str, Any]) -> str:
    if isinstance(entry.get("file_name"), str):
        return str(path.parent / entry["file_name"])
    if isinstance(entry.get("hf_hub_url"), str):
        config = f":{entry['subset']}" if entry.get("subset") else ""
        split = f"@{entry['split']}" if entry.get("split") else ""
        return f"{HUB_PREFIX}{entry['hf_hub_url']}{config}{split}"
    raise DataError(f"{path}, entry {name!r} names neither file_name nor hf_hub_url.")


def _tags(tags: Mapping[str, str], *, openai: bool) -> Tags:
    """Tags as given; roles that are not renamed keep the usual names."""
    renamed = {tags[tag]: role for tag, role in TAG_ROLES.items() if tag in tags}
    calls = frozenset({tags["function_tag"]}) if "function_tag" in tags else CALL_ROLES
    return Tags(
        role=tags.get("role_tag", "role" if openai else "from"),
        content=tags.get("content_tag", "content" if openai else "value"),
        roles={**ROLES, **renamed},
        calls=calls,
    )


def _all_text(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(item, str) for item in value.values())
