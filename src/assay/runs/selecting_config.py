"""The settings of a selection, from options or Python, and which rules they belong to. Knows no files."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from assay.errors import ConfigError
from assay.runs.config import checked_settings
from assay.selection.rules import RULES, Rule, rule_named


class SelectConfig(BaseModel):
    """Everything that decides a selection besides the scores.

    `method`, `query_set` and `task` choose among the scores where there are several; `reverse` puts the
    lowest first. `turns` says who chooses in round_robin, every query or every task of queries by its mean
    score. `by`, `equally`, `start` and `threshold` are options of single rules.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str
    budget: str
    method: str | None = None
    query_set: str | None = None
    task: str | None = None
    reverse: bool = False
    turns: Literal["query", "task"] = "query"
    by: Literal["task", "source"] = "task"
    equally: bool = False
    start: float | None = Field(default=None, ge=0, lt=1)
    threshold: float = Field(default=0.9, gt=-1, le=1)
    weight: bool = False


def select_config(values: Mapping[str, Any], *, options: Collection[str] = ()) -> SelectConfig:
    """Check settings; raises ConfigError with the first problem in one sentence.

    A problem is also a setting that the rule does not go by, even if it is given as it is by default.
    """
    config = checked_settings(SelectConfig, values, options)
    rule = rule_named(config.rule)
    for setting in SelectConfig.model_fields:
        given = setting in config.model_fields_set and getattr(config, setting) not in (None, False)
        if given and not goes_by(rule, setting):
            name = f"--{setting}".replace("_", "-") if setting in options else setting
            having = ", ".join(other.name for other in RULES.values() if goes_by(other, setting))
            raise ConfigError(f"{rule.name} does not go by {name}; it belongs to {having}.")
    return config


def goes_by(rule: Rule, setting: str) -> bool:
    """Whether a setting can change what a rule does."""
    match setting:
        case "query_set":
            return not rule.prunes
        case "task":
            return "score" in rule.needs
        case "turns":
            return rule.asks_queries
        case "reverse":
            return "lowest_first" in rule.options
        case "by" | "equally" | "start" | "threshold":
            return setting in rule.options
    return True
