"""The settings of a selection, from options or Python. Knows no files."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from assay.runs.config import checked_settings


class SelectConfig(BaseModel):
    """Everything that decides a selection besides the scores.

    `method`, `query_set` and `task` choose among the scores where there are several; `reverse` puts the
    lowest first. `by`, `equally`, `start` and `threshold` are options of single rules.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str
    budget: str
    method: str | None = None
    query_set: str | None = None
    task: str | None = None
    reverse: bool = False
    by: Literal["task", "source"] = "task"
    equally: bool = False
    start: float | None = Field(default=None, ge=0, lt=1)
    threshold: float = Field(default=0.9, gt=-1, le=1)
    weight: bool = False


def select_config(values: Mapping[str, Any], *, options: Collection[str] = ()) -> SelectConfig:
    """Check settings; raises ConfigError with the first problem in one sentence."""
    return checked_settings(SelectConfig, values, options)
