"""The settings of a validation, from `arms.yaml` and options, checked before anything is read.

Knows no models, and not what an arm's text means: that is for `validation.arms`.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from assay.errors import ConfigError
from assay.models.recipe import FineTuneRecipe
from assay.runs.config import DataConfig, LossOn, SetConfig, checked_settings
from assay.runs.judging import JudgeConfig

UNUSED = {
    "lora_dropout": "arms are trained without dropout, so that they differ by their examples alone",
    "micro_batch": "token_budget says how much goes through the model at once",
    "save_every": "an arm keeps no checkpoints on its way",
    "seed": "seeds says which there are",
    "max_steps": "arms are trained for whole epochs",
}
"""Settings of a recipe that an arm does not go by, and why."""

STRUCTURE = ("lora_r", "lora_alpha", "target_modules", "full_finetuning", "precision")
"""What an arm that goes on from another has in common with it."""

CONTINUING = {"learning_rate": 1e-6, "schedule": "constant", "warmup_steps": 0, "epochs": 3}
"""How the paper trains an arm that goes on from another (section 5.1): 3 epochs at 1e-6."""


class JudgeLabels(SetConfig):
    """Answers that people have judged, to hold the judge against: questions with golden answers, and in the
    columns `answer` and `label` what somebody answered and whether people find it right."""

    answer: str = "answer"
    label: str = "label"


class ValidateConfig(DataConfig):
    """Everything that decides what a validation computes and says.

    `base_model` are the models that every arm is trained on. `sets` are training examples by the name that
    arms know them by, `arms` the texts of the arms, `design` a ready-made list of them (arms may be added).
    `queries` are held out, `undesired` names those that hold bad responses. `study` are folders of
    swift studies whose verdicts are held against the effects, those of `context` ("auto" goes by the tasks
    that a strategy's set and the queries share); of several each is held against the effects under the base
    model that it was made on. `seeds` are numbers, or how many. `queries_are` says whether intervals speak of
    these very queries or take them to be a sample.

    `match` says what arms have in common with the first of the same start: steps, tokens, or that each row is
    learned from once an epoch. `weigh` says what a step of several sets learns from: the mean over all its
    tokens, or every set's own mean, added up.
    `recipe` holds what differs from `FineTuneRecipe`; `continue_recipe` what differs from that, or from
    `CONTINUING`, for arms that go on from another. `answers` is how a generated answer is checked; "none"
    generates none. `judge` is a language model that judges generated answers, with `judge_pairs` also against
    those of the first arm, and is held against people on `judge_labels`.

    `benchmarks` are tasks for lm-eval as local YAML files, or folders of them; `benchmark_limit` asks the
    first so many questions of each.
    """

    base_model: list[str] = Field(default_factory=list)
    sets: dict[str, SetConfig] = Field(default_factory=dict)
    arms: list[str] = Field(default_factory=list)
    design: str | None = None
    queries: dict[str, SetConfig] = Field(default_factory=dict)
    undesired: list[str] = Field(default_factory=list)
    study: list[str] = Field(default_factory=list)
    context: Literal["auto", "in-task", "cross-task"] = "auto"
    queries_are: Literal["fixed", "redrawn"] = "fixed"
    seeds: list[int] = Field(default_factory=lambda: [0, 1, 2])
    match: Literal["steps", "tokens", "examples"] = "steps"
    weigh: Literal["tokens", "sets"] = "tokens"
    recipe: dict[str, Any] = Field(default_factory=dict)
    continue_recipe: dict[str, Any] = Field(default_factory=dict)
    query_loss_on: LossOn = "last"
    on_trained: Literal["error", "drop", "keep"] = "error"
    answers: Literal["auto", "exact", "normalised", "numeric", "choice", "none"] = "auto"
    max_new_tokens: int = Field(default=256, ge=1)
    judge: JudgeConfig | None = None
    judge_pairs: bool = False
    judge_labels: JudgeLabels | None = None
    benchmarks: list[str] = Field(default_factory=list)
    benchmark_limit: int | None = Field(default=None, ge=1)
    device: str = "auto"
    token_budget: int = Field(default=8192, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, values: Any) -> Any:
        """One of a list for the list, a file name for `{file: name}`, and a number of seeds for 0, 1, ..."""
        if not isinstance(values, dict):
            return values
        values = {key: value for key, value in values.items() if (key, value) != ("study", None)}
        for key in ("sets", "queries"):
            if isinstance(values.get(key), dict):
                values[key] = {
                    str(name): {"file": str(one)} if isinstance(one, str | Path) else one
                    for name, one in values[key].items()
                }
        if isinstance(values.get("judge_labels"), str | Path):
            values["judge_labels"] = {"file": str(values["judge_labels"])}
        for key in ("base_model", "arms", "undesired", "benchmarks", "study"):
            if isinstance(values.get(key), str | Path):
                values[key] = [str(values[key])]
        seeds = values.get("seeds")
        if isinstance(seeds, int) and not isinstance(seeds, bool):
            values["seeds"] = list(range(seeds))
        return values

    @model_validator(mode="after")
    def _consistent(self) -> "ValidateConfig":
        for field, mend in (
            ("base_model", "name at least one model (--base-model MODEL)"),
            ("sets", "name at least the set `base` and its file"),
            ("queries", "at least one query set is needed (--queries FILE)"),
            ("seeds", "at least one seed is needed; three or more tell how runs differ"),
        ):
            if not getattr(self, field):
                raise ValueError(f"{field}: {mend}")
        if not self.arms and self.design is None:
            raise ValueError("arms: list the arms, or name a design (in-task or cross-task)")
        if self.judge is None and (self.judge_pairs or self.judge_labels):
            raise ValueError("judge: name the judge (--judge-endpoint URL --judge-model NAME)")
        if self.judge is not None and self.answers == "none":
            raise ValueError("judge: it judges generated answers, and none are generated (answers: none)")
        if self.benchmark_limit is not None and not self.benchmarks:
            raise ValueError("benchmark_limit: name the tasks that it limits (--benchmarks FILE)")
        for field in ("base_model", "arms", "seeds", "benchmarks", "study"):
            given = getattr(self, field)
            if twice := [one for one in given if given.count(one) > 1]:
                raise ValueError(f"{field}: {twice[0]!r} is given twice")
        if unknown := [name for name in self.undesired if name not in self.queries]:
            raise ValueError(
                f"undesired: {unknown[0]!r} is no query set; the query sets are {', '.join(self.queries)}"
            )
        for field in ("sets", "queries"):
            for name in getattr(self, field):
                if not name or not name.isprintable():
                    raise ValueError(f"{field}: the name {name!r} is empty or holds what cannot be printed")
        return self

    def recipe_of(self, *, continues: bool) -> FineTuneRecipe:
        """The recipe of an arm; raises ConfigError for one that cannot be followed here."""
        given = {"recipe": self.recipe, "continue_recipe": self.continue_recipe}
        known = FineTuneRecipe.__dataclass_fields__
        for field, values in given.items():
            for name in values:
                if name in UNUSED:
                    raise ConfigError(f"{field}.{name}: {UNUSED[name]}; leave it out.")
                if name not in known:
                    raise ConfigError(f"{field}.{name}: there is no such setting of a recipe.")
                if name in STRUCTURE and field == "continue_recipe":
                    raise ConfigError(
                        f"{field}.{name}: an arm goes on with what the other trained; give it in recipe."
                    )
        values = {**self.recipe, **(CONTINUING | self.continue_recipe if continues else {})}
        if "target_modules" in values:
            named = values["target_modules"]
            values["target_modules"] = (named,) if isinstance(named, str) else tuple(named)
        try:
            recipe = FineTuneRecipe(**values)
        except TypeError as error:
            raise ConfigError(f"{'continue_recipe' if continues else 'recipe'}: {error}.") from None
        if recipe.epochs is None or recipe.epochs != int(recipe.epochs):
            raise ConfigError(f"recipe.epochs is {recipe.epochs}; arms are trained for whole epochs.")
        return recipe


def validate_config(values: Mapping[str, Any], *, options: Collection[str] = ()) -> ValidateConfig:
    """Check settings; raises ConfigError with the first problem in one sentence, naming the command line's
    option where the setting is one of `options`."""
    config = checked_settings(ValidateConfig, values, options)
    for continues in (False, True):
        config.recipe_of(continues=continues)
    return config


def config_text(config: ValidateConfig) -> str:
    """YAML that gives the same settings again; defaults are left out."""
    dumped = config.model_dump(exclude_defaults=True, mode="json")
    for key in ("sets", "queries"):
        if key in dumped:
            dumped[key] = {
                name: one["file"] if one.keys() == {"file"} else one for name, one in dumped[key].items()
            }
    return yaml.safe_dump(dumped, sort_keys=False, allow_unicode=True)
