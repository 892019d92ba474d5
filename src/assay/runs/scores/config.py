"""The settings of a scoring, from options or Python, checked before anything is read. Knows no models."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from assay.errors import ConfigError
from assay.methods.table import METHODS, Method, method_named
from assay.runs.config import MeasureConfig, SetConfig, checked_settings
from assay.runs.scores.needs import (
    COMPLEXITY,
    CURVATURES,
    IN_CONTEXT,
    measure_of,
    meets_queries,
    options_in_context,
)

CORRECT, INCORRECT = "correct", "incorrect"
"""Names of the query sets that are made from two models' own answers."""


class ScoreConfig(MeasureConfig):
    """Everything that decides what a scoring computes.

    `candidates` are the files of the pool. `queries` are evaluation files by set name; `questions` are
    questions with reference answers, from which the sets "correct" and "incorrect" are made by asking two
    models, the base and the last of the chosen checkpoints. `methods` are names of `assay methods`, `tasks`
    is a file of labels by example id. `project` bounds the numbers kept of a query's gradient for each
    parameter: "auto" keeps all unless memory is short. `factor_examples` is how many candidates the
    curvature is fitted on (None: all), `damping` its share of the mean eigenvalue. `exact` computes LESS
    as its authors' code does.

    In context: `embeddings` of prompts are "hidden" states of the model, or a sentence-transformers model by
    name; `complexity` is "ifd", "length", or a scorer model by name; a candidate's queries are the most
    complex of `clusters` clusters of its `neighbours` nearest; `departure` names what the public code does
    otherwise. `checkpoints` may be left out where `base_model` names a model to score with as it is.
    """

    checkpoints: str
    candidates: list[SetConfig]
    queries: dict[str, SetConfig] = Field(default_factory=dict)
    questions: list[SetConfig] = Field(default_factory=list)
    incorrect: Literal["right-to-wrong", "all-wrong"] = "right-to-wrong"
    answers: Literal["auto", "exact", "normalised", "numeric", "choice"] = "auto"
    max_new_tokens: int = Field(default=256, ge=1)
    methods: list[str]
    base_model: str | None = None
    tasks: str | None = None
    steps: list[int] | None = None
    every: int | None = Field(default=None, ge=1)
    memory_gb: float | None = Field(default=None, gt=0)
    project: Literal["auto", "off"] | int = "auto"
    projection: Literal["rademacher", "normal"] = "rademacher"
    shard_tokens: int = Field(default=200_000, ge=1)
    factor_examples: int | None = Field(default=None, ge=1)
    damping: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    exact: bool = False
    embeddings: str = "hidden"
    complexity: str = "ifd"
    neighbours: int = Field(default=32, ge=1)
    clusters: int = Field(default=5, ge=1)
    departure: list[Literal["positive-only", "failed-as-zero"]] = Field(default_factory=list)
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, values: Any) -> Any:
        """A file name stands for `{file: name}`, and one file for a list of one."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if values.get("checkpoints") is None and values.get("base_model") is not None:
            values["checkpoints"] = values.pop("base_model")
        for key in ("candidates", "questions"):
            found = values.get(key)
            if found is not None:
                values[key] = [_set(one) for one in (found if isinstance(found, list) else [found])]
        if isinstance(values.get("queries"), dict):
            values["queries"] = {name: _set(one) for name, one in values["queries"].items()}
        if isinstance(values.get("methods"), str):
            values["methods"] = [values["methods"]]
        return values

    @model_validator(mode="after")
    def _consistent(self) -> "ScoreConfig":
        if not self.candidates:
            raise ValueError("candidates: at least one file is needed (--candidates FILE)")
        if not self.methods:
            raise ValueError("methods: name at least one (--method NAME; `assay methods` lists them)")
        if twice := {name for name in self.methods if self.methods.count(name) > 1}:
            raise ValueError(f"methods: {sorted(twice)[0]!r} is given twice")
        if self.neighbours < self.clusters:
            raise ValueError(f"neighbours: give one or more for each of the {self.clusters} clusters")
        if isinstance(self.project, int) and self.project < 1:
            raise ValueError("project: give auto, off, or a number from 1")
        for name in (CORRECT, INCORRECT):
            if self.questions and name in self.queries:
                raise ValueError(f"queries: {name!r} is made from the questions; name this file otherwise")
        for name in self.queries:
            if not name or not name.isprintable():
                raise ValueError(f"queries: the name {name!r} is empty or holds what cannot be printed")
        return self


def score_config(values: Mapping[str, Any], *, options: Collection[str] = ()) -> ScoreConfig:
    """Check settings; raises ConfigError with the first problem in one sentence.

    An option that nothing would read is a problem, too. The sentence names the command line's option where
    the setting is one of `options`.
    """
    config = checked_settings(ScoreConfig, values, options)
    rows = [method_named(name) for name in config.methods]
    asking = [row.name for row in rows if row.per_query]
    if asking and not (config.queries or config.questions):
        free = ", ".join(name for name, row in METHODS.items() if not row.per_query)
        raise ConfigError(
            f"{asking[0]} scores candidates by queries; give --queries FILE (or --questions FILE), or a "
            f"method that needs none: {free}."
        )
    _refuse_unread(config, rows, options)
    return config


def _refuse_unread(config: ScoreConfig, rows: Sequence[Method], options: Collection[str]) -> None:
    """Raise ConfigError naming an option that was given, and what would have to be there to read it."""
    measures = {measure for row in rows if (measure := measure_of(row)) is not None}
    asked = bool(config.queries or config.questions)
    curved = any(measure.removesuffix("_self") in CURVATURES for measure in measures)
    held = asked and any(map(meets_queries, measures))
    readers = (
        (("exact",), any(row.name == "less" for row in rows), "the method less"),
        (("damping", "factor_examples"), curved, "a method by curvature (ekfac, kfac, diagonal, self_ekfac)"),
        (("project", "projection", "memory_gb"), held, "a method that compares gradients with queries"),
        (
            ("departure",),
            bool(measures & {*IN_CONTEXT} - {COMPLEXITY}),
            "a method in context (wici, ici, ifd, nuggets)",
        ),
        *(
            ((name,), name in options_in_context(measures), f"a method in context ({methods})")
            for name, methods in (
                ("embeddings", "wici, ici, wici_nearest"),
                ("complexity", "wici, ici, wici_nearest, complexity"),
                ("neighbours", "wici, ici"),
                ("clusters", "wici, ici, wici_nearest"),
            )
        ),
        (("incorrect", "answers", "max_new_tokens"), bool(config.questions), "questions (--questions FILE)"),
        (("query_loss_on",), asked, "queries (--queries FILE)"),
    )
    for names, there, reader in readers:
        for name in names:
            given = name in config.model_fields_set and getattr(config, name) not in (None, False, [])
            if given and not there:
                shown = f"--{name}".replace("_", "-") if name in options else name
                raise ConfigError(f"{shown} needs {reader} and would change nothing here; leave it out.")


def _set(one: Any) -> Any:
    return {"file": str(one)} if not isinstance(one, dict | SetConfig) else one
