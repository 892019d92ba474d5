"""The settings of a craft, from options or Python, checked before anything is read. Knows no models.

Where a model is asked is said by a place: an OpenAI-compatible endpoint and a model's name there, or a model
that is loaded here. There are three: the writer's, the student's (the model under study) and the judge's.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from assay.asking.request import By
from assay.errors import ConfigError
from assay.runs.config import Reading, SetConfig, Strict, checked_settings


class Price(Strict):
    """What a million tokens cost, of prompts and of replies, in any one currency."""

    prompt: float = Field(ge=0, allow_inf_nan=False)
    completion: float = Field(ge=0, allow_inf_nan=False)


class CraftConfig(Strict):
    """Everything that decides what a craft writes, and whom it asks. No key is among it.

    `strategies` are names of shipped ones or YAML files. `from_columns` names columns of the references, the
    first the query and the second the response; then no model is asked. `siblings` says who makes the plain
    example that is like a reference: a model, or another row of its task ("auto": rows where no model is
    given). `queries` are evaluation files of the user's; then there are no siblings. `build` writes the
    strategies' examples alone.

    `endpoint` with `model`, or `local`, is the writer; `student` is a model loaded here, `student_endpoint`
    with `student_model` one elsewhere. `key_env` names the environment's variable with the key that the
    writer's endpoint is sent; another endpoint is sent its own (`student_key_env`, `judge_key_env`) or none.
    """

    strategies: list[str] = Field(default_factory=list)
    references: list[SetConfig] = Field(default_factory=list)
    from_columns: list[str] | None = None
    reading: Reading = Field(default_factory=Reading)
    on_bad_rows: Literal["error", "skip"] = "error"
    queries: dict[str, SetConfig] = Field(default_factory=dict)
    references_are: Literal["probes", "queries"] = "probes"
    siblings: Literal["auto", "model", "rows"] = "auto"
    build: bool = False
    per_task: int | None = Field(default=None, ge=1)
    limit: int | None = Field(default=None, ge=1)
    checkpoints: str | None = None
    endpoint: str | None = None
    model: str | None = None
    local: str | None = None
    key_env: str = "OPENAI_API_KEY"
    student: str | None = None
    student_endpoint: str | None = None
    student_model: str | None = None
    student_key_env: str | None = None
    judge_endpoint: str | None = None
    judge_model: str | None = None
    judge_key_env: str | None = None
    concurrency: int = Field(default=8, ge=1)
    timeout: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    max_retries: int = Field(default=5, ge=0)
    price: Price | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, values: Any) -> Any:
        """One of a list for the list, a file name for `{file: name}`, and `0.15,0.6` for a price."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if isinstance(values.get("strategies"), str):
            values["strategies"] = [values["strategies"]]
        references = values.get("references")
        if references is not None:
            several = references if isinstance(references, list) else [references]
            values["references"] = [_set(one) for one in several]
        if isinstance(values.get("queries"), dict):
            values["queries"] = {name: _set(one) for name, one in values["queries"].items()}
        if isinstance(values.get("from_columns"), str):
            values["from_columns"] = [part.strip() for part in values["from_columns"].split(",")]
        if isinstance(values.get("price"), str):
            values["price"] = _price(values["price"])
        return values

    @model_validator(mode="after")
    def _consistent(self) -> "CraftConfig":
        if not self.strategies:
            raise ValueError("strategies: name at least one (--strategy NAME; --strategies lists them)")
        if not self.references:
            raise ValueError("references: at least one file is needed (--references FILE)")
        if twice := _repeated(self.strategies):
            raise ValueError(f"strategies: {twice!r} is given twice")
        if self.from_columns is not None:
            _require_columns(self.from_columns)
            if self.reading.prompt or self.reading.completion:
                raise ValueError(
                    "from_columns: it names the query and the response already; leave out --prompt and "
                    "--completion"
                )
        if self.queries and self.references_are == "queries":
            raise ValueError(
                "queries: the references are the queries already (--references-are queries); leave one out"
            )
        if self.build and (self.queries or self.references_are == "queries"):
            raise ValueError("build: it writes the strategies' examples alone, so there are no queries")
        if self.build and self.checkpoints:
            raise ValueError("checkpoints: --build writes no study")
        _require_models(self)
        return self

    @property
    def reference_columns(self) -> dict[str, str]:
        """By the name that templates use: the column of `from_columns` it is read from."""
        return dict(_named(column) for column in self.from_columns or ())


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model is asked: at an `endpoint` under a name, or loaded here from `name`."""

    name: str
    endpoint: str | None = None
    key_env: str | None = None


def places(config: CraftConfig) -> dict[By, Place]:
    """Where the writer, the student and the judge are asked, as far as they are given.

    The judge is by default the writer.
    """
    found: dict[By, Place] = {}
    if config.endpoint and config.model:
        found["writer"] = Place(config.model, config.endpoint, config.key_env)
    elif config.local:
        found["writer"] = Place(config.local)
    if config.student_model:
        found["student"] = _beside(
            config, config.student_endpoint, config.student_model, config.student_key_env
        )
    elif config.student:
        found["student"] = Place(config.student)
    if config.judge_model:
        found["judge"] = _beside(config, config.judge_endpoint, config.judge_model, config.judge_key_env)
    elif "writer" in found:
        found["judge"] = found["writer"]
    return found


def craft_config(values: Mapping[str, Any], *, options: Collection[str] = ()) -> CraftConfig:
    """Check settings; raises ConfigError with the first problem in one sentence."""
    return checked_settings(CraftConfig, values, options)


def labelled_files(values: Iterable[str]) -> list[dict[str, str]]:
    """`TASK=FILE` as a file whose examples are all of that task; a bare FILE, or a file whose path holds `=`,
    keeps its own labels."""
    files = []
    for value in values:
        task, equals, file = value.partition("=")
        if not equals or "/" in task or Path(value).exists():
            files.append({"file": value})
        elif not task or not file:
            raise ConfigError(f"--references {value}: give it as FILE or TASK=FILE.")
        else:
            files.append({"file": file, "task": task})
    return files


def _beside(config: CraftConfig, endpoint: str | None, model: str, key_env: str | None) -> Place:
    """A model at an endpoint of its own, or at the writer's; a key goes only where it belongs."""
    if endpoint is None or endpoint == config.endpoint:
        return Place(model, config.endpoint, key_env or config.key_env)
    return Place(model, endpoint, key_env)


def _require_models(config: CraftConfig) -> None:
    for field in ("endpoint", "student_endpoint", "judge_endpoint"):
        parts = urlsplit(getattr(config, field) or "")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                f"{field}: give the address without a user name, a password or anything behind a question "
                "mark; a key belongs into the environment"
            )
    if config.endpoint and not config.model:
        raise ValueError("model: name the model that the endpoint serves (--model NAME)")
    if config.model and not config.endpoint:
        raise ValueError("model: give the --endpoint that serves it, or --local MODEL to load it here")
    if config.endpoint and config.local:
        raise ValueError("local: give an --endpoint or --local, not both")
    if config.student and config.student_model:
        raise ValueError("student: give --student or --student-model, not both")
    for role in ("student", "judge"):
        endpoint, model = getattr(config, f"{role}_endpoint"), getattr(config, f"{role}_model")
        if endpoint and not model:
            raise ValueError(f"{role}_model: name the model that the {role}'s endpoint serves")
        if model and not (endpoint or config.endpoint):
            raise ValueError(f"{role}_model: give the --{role}-endpoint that serves it")
    asked = [config.endpoint, config.local, config.student, config.student_model, config.judge_model]
    if config.from_columns is not None and any(asked):
        raise ValueError("from_columns: no model is asked then; leave out the models or --from-columns")


def _require_columns(columns: Iterable[str]) -> None:
    names = [_named(column)[0] for column in columns]
    if len(names) < 2 or not all(part for column in columns for part in _named(column)):
        raise ValueError("from_columns: give at least two columns, query and response, with commas between")
    if twice := _repeated(names):
        raise ValueError(f"from_columns: {twice!r} is named twice")


def _named(column: str) -> tuple[str, str]:
    """`rationale=why` as (name in templates, column); a bare column is called as it is."""
    name, equals, behind = column.partition("=")
    return (name.strip(), behind.strip()) if equals else (column.strip(), column.strip())


def _repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _price(text: str) -> dict[str, float]:
    try:
        prompt, completion = map(float, text.split(","))
    except ValueError:
        raise ConfigError(
            f"--price {text}: give what a million tokens cost as two numbers, prompts and replies, such as "
            "0.15,0.60."
        ) from None
    return {"prompt": prompt, "completion": completion}


def _set(one: Any) -> Any:
    return {"file": str(one)} if not isinstance(one, dict | SetConfig) else one
