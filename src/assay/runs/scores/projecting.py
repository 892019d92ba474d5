"""Whether gradients of queries are held exact or projected: chosen once for a run folder, and kept there.

Free memory differs from start to start, and a scoring that goes on has to measure as it began.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from assay.errors import ConfigError, ResumeError
from assay.files import read_json, write_json
from assay.gradients.projection import Projection
from assay.runs.durations import size_words
from assay.runs.scores.config import ScoreConfig

CHOICE = "projection.json"
SMALLEST, LARGEST = 64, 2**20
"""Sizes of a projection that are tried where memory is short."""

Needed = Callable[[Projection | None], float]
"""Bytes that gradients and factors take, held exact (None) or projected."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A `projection`, or None to hold gradients exact."""

    projection: Projection | None

    def __str__(self) -> str:
        if self.projection is None:
            return "exact"
        return f"projected to at most {self.projection.size:,} numbers per parameter"


def choice_of(config: ScoreConfig, folder: Path) -> Choice | None:
    """What `config` asks for or `folder` keeps; None where nothing has been chosen yet.

    Raises ResumeError where what is kept cannot be read.
    """
    if isinstance(config.project, int):
        return Choice(_projection(config, config.project))
    if config.project == "off":
        return Choice(None)
    path = folder / CHOICE
    if not path.is_file():
        return None
    try:
        size = read_json(path)["size"]
        return Choice(None if size is None else _projection(config, int(size)))
    except (OSError, ValueError, TypeError, KeyError, ConfigError) as error:
        raise ResumeError(f"{path} cannot be read; delete {folder} to measure again.") from error


def choose(config: ScoreConfig, folder: Path, limit: int, needed: Needed) -> Choice:
    """The choice of `choice_of`, or else the most exact one whose memory stays below `limit`, which is kept.

    Raises ConfigError where exact gradients were asked for, or what is kept was chosen, and it does not fit;
    and where nothing does.
    """
    known = choice_of(config, folder)
    if known is None:
        known = Choice(_most_exact(config, limit, needed))
        write_json(folder / CHOICE, {"size": known.projection and known.projection.size})
    elif isinstance(config.project, str) and (size := needed(known.projection)) > limit:
        if config.project == "off":
            raise ConfigError(
                f"The gradients of the queries take {size_words(size)}, and {size_words(limit)} may be used; "
                "give fewer queries, more --memory-gb, or --project auto."
            )
        raise ConfigError(
            f"{folder / CHOICE}: gradients of queries are held {known} in this folder, which takes "
            f"{size_words(size)} for these methods, and {size_words(limit)} may be used now; give more "
            "--memory-gb, fewer methods at a time, or another --out."
        )
    return known


def _most_exact(config: ScoreConfig, limit: int, needed: Needed) -> Projection | None:
    """The largest that fits; None where exact gradients do."""
    if needed(None) <= limit:
        return None
    size = LARGEST
    while size >= SMALLEST:
        if needed(_projection(config, size)) <= limit:
            return _projection(config, size)
        size //= 2
    raise ConfigError(
        f"Even projected, the gradients of the queries do not fit into {size_words(limit)}; give fewer "
        "queries or more --memory-gb."
    )


def _projection(config: ScoreConfig, size: int) -> Projection:
    return Projection(size, config.projection, config.seed)
