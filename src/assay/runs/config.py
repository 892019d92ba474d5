"""The settings of a study, from options or YAML, checked before anything is read. Knows no models.

Every run writes the settings it used as `config.yaml`; `assay study --config` replays them.
"""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from assay.errors import ConfigError
from assay.runs.durations import seconds_of
from assay.runs.places import require_here
from assay.studies.design import design_named, require_sets
from assay.studies.estimators import DEFAULT_ESTIMATOR, estimator_named

LossOn = Literal["assistant", "last", "all"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reading(Strict):
    """How data files are read; `columns` names those of a table without header (`question,answer`),
    `prompt` and `completion` are column names or templates such as `{question}`."""

    format: str | None = None
    columns: str | None = None
    prompt: str | None = None
    completion: str | None = None
    unescape: bool = False
    task_column: str = "task"
    pair_column: str = "pair"
    id_column: str = "id"
    response: Literal["chosen", "rejected"] = "chosen"


class SetConfig(Strict):
    """One file of examples; `task` labels the whole file, `reading` overrides the study's for this file."""

    file: str
    task: str | None = None
    reading: Reading | None = None


class DataConfig(Strict):
    """How files become examples and examples tokens; what every command that reads data shares."""

    reading: Reading = Field(default_factory=Reading)
    on_bad_rows: Literal["error", "skip"] = "error"
    loss_on: LossOn = "assistant"
    render: Literal["auto", "chat", "plain"] = "auto"
    chat_template: str | None = None
    max_length: int | None = Field(default=None, ge=2)
    truncation: Literal["error", "prompt"] = "error"


class MeasureConfig(DataConfig):
    """What decides a gradient besides model and files; a study and its verification share it."""

    query_loss_on: LossOn = "last"
    device: str = "auto"
    dtype: str = "auto"
    attention: str | None = None
    quantize: Literal["4bit"] | None = None
    gradient_checkpointing: bool = False
    allow_pickle: bool = False
    token_budget: int = Field(default=2048, ge=1)


class StudyConfig(MeasureConfig):
    """Everything that decides what a study computes and says.

    `probes` and `control` (exactly one entry, or none) together are the probe sets. `undesired` names query
    sets of bad responses. `limit` keeps the first examples of every task in every set. `margin` is the
    share of the control's effect within which a strategy counts as like it.

    `evidence` is what is measured: gradients, a lookahead of real steps, or all. `time_budget` ("10m") bounds
    the lookahead, and with evidence all it is then spent on what gradients left undecided. A lookahead takes
    `lookahead_steps` steps on `lookahead_base` training examples and `lookahead_added` probes each, whose
    mean loss joins with `lookahead_weight`, with `lookahead_seeds` seeds at the checkpoints of the steps
    `lookahead_checkpoints` (by default the first, a middle and the last) and at `lookahead_rate` (by default
    an eighth of the run's peak learning rate).
    """

    checkpoints: str
    probes: dict[str, SetConfig]
    queries: dict[str, SetConfig]
    control: dict[str, SetConfig] = Field(default_factory=dict)
    undesired: list[str] = Field(default_factory=list)
    train_data: list[SetConfig] = Field(default_factory=list)
    on_trained: Literal["error", "drop", "keep"] = "error"
    design: str | None = None
    estimator: str = DEFAULT_ESTIMATOR
    margin: float = Field(default=0.2, ge=0, allow_inf_nan=False)
    base_model: str | None = None
    tasks: str | None = None
    steps: list[int] | None = None
    every: int | None = Field(default=None, ge=1)
    limit: int | None = Field(default=None, ge=1)
    memory_gb: float | None = Field(default=None, gt=0)
    evidence: Literal["gradient", "lookahead", "all"] = "gradient"
    time_budget: str | None = None
    lookahead_steps: int = Field(default=20, ge=1)
    lookahead_seeds: int = Field(default=3, ge=1)
    lookahead_base: int = Field(default=8, ge=1)
    lookahead_added: int = Field(default=8, ge=1)
    lookahead_weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    lookahead_checkpoints: list[int] | None = None
    lookahead_rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, values: Any) -> Any:
        """`name: file` stands for `name: {file: file}`, and one training file for a list of one."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        for key in ("probes", "queries", "control"):
            sets = values.get(key)
            if isinstance(sets, dict):
                values[key] = {name: _set(one) for name, one in sets.items()}
        train = values.get("train_data")
        if train is not None:
            values["train_data"] = [_set(one) for one in (train if isinstance(train, list) else [train])]
        return values

    @model_validator(mode="after")
    def _consistent(self) -> "StudyConfig":
        if not self.probes:
            raise ValueError("probes: at least one probe set is needed (--probes NAME=FILE)")
        if not self.queries:
            raise ValueError("queries: at least one query set is needed (--queries FILE)")
        if len(self.control) > 1:
            raise ValueError("control: only one control set is possible")
        if twice := self.probes.keys() & self.control.keys():
            raise ValueError(f"control: {sorted(twice)[0]!r} is also the name of a strategy's probe set")
        unknown = [name for name in self.undesired if name not in self.queries]
        if unknown:
            raise ValueError(
                f"undesired: {unknown[0]!r} is no query set; the query sets are {', '.join(self.queries)}"
            )
        if self.time_budget is not None:
            if self.evidence == "gradient":
                raise ValueError("time_budget: it bounds a lookahead; ask for one with --evidence all")
            try:
                seconds_of(self.time_budget)
            except ValueError as error:
                raise ValueError(f"time_budget: {error}") from None
        for name in (*self.probes, *self.queries, *self.control):
            if not name or not name.isprintable():
                raise ValueError(f"probes: the name {name!r} is empty or holds what cannot be printed")
        return self

    @property
    def control_name(self) -> str | None:
        return next(iter(self.control), None)

    @property
    def probe_sets(self) -> dict[str, SetConfig]:
        """All probe sets, the control last."""
        return {**self.probes, **self.control}

    def with_design(self) -> "StudyConfig":
        """The config with what its design implies; raises ConfigError where a set is missing, or where there
        is no such design or estimator."""
        estimator_named(self.estimator)
        if self.design is None:
            return self
        design = design_named(self.design)
        require_sets(design, self.probe_sets, self.queries)
        if self.control_name != design.control:
            raise ConfigError(
                f"The design {design.name!r} compares with {design.control!r}; give it as "
                f"--control {design.control}=FILE."
            )
        undesired = [*dict.fromkeys([*self.undesired, *design.undesired])]
        return self.model_copy(update={"undesired": undesired})


def _set(one: Any) -> Any:
    return {"file": str(one)} if isinstance(one, str | Path) else one


Config = TypeVar("Config", bound=BaseModel)


def study_config(
    values: Mapping[str, Any], *, file: Path | None = None, options: Collection[str] = ()
) -> StudyConfig:
    """Check settings; raises ConfigError with the first problem in one sentence.

    The sentence names `file`, or the command line's option where the setting is one of `options`.
    """
    try:
        config = StudyConfig.model_validate(dict(values)).with_design()
    except ValidationError as error:
        raise ConfigError(_sentence(StudyConfig, error.errors(include_url=False)[0], file, options)) from None
    if file is not None:
        require_here(config, file, options)
    return config


def data_config(values: Mapping[str, Any], *, options: Collection[str] = ()) -> DataConfig:
    """Check settings as `study_config` does."""
    return checked_settings(DataConfig, values, options)


def measure_config(values: Mapping[str, Any], *, options: Collection[str] = ()) -> MeasureConfig:
    """Check settings as `study_config` does."""
    return checked_settings(MeasureConfig, values, options)


def checked_settings(kind: type[Config], values: Mapping[str, Any], options: Collection[str]) -> Config:
    """Settings of a kind; raises ConfigError as `study_config` does."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(_sentence(kind, error.errors(include_url=False)[0], None, options)) from None


class _Loader(yaml.SafeLoader):
    """YAML in which no key is given twice, where PyYAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is given twice", key.start_mark
                )
            if isinstance(key.value, str):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_settings(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, unchecked. Raises ConfigError where there is none."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{path}{where}: not valid YAML ({getattr(error, 'problem', None) or error})."
        ) from None
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path} holds no settings; it should be a mapping such as `checkpoints: runs/sft`."
        )
    return {str(key): value for key, value in values.items()}


def read_config(path: Path) -> StudyConfig:
    """Read YAML. File names in it are taken from the folder the command runs in, as on the command line.

    Raises ConfigError for a missing file, broken YAML, an unknown key, a value that cannot be, or a path that
    is found from the folder of the configuration only.
    """
    return study_config(read_settings(path), file=path)


def _sentence(kind: type[BaseModel], problem: Any, file: Path | None, options: Collection[str]) -> str:
    """One of pydantic's complaints in our words."""
    place = [str(part) for part in problem["loc"]]
    said = problem["msg"].removeprefix("Value error, ")
    if not place:  # of several settings together: ours, and named at its beginning
        field, _, said = said.partition(": ")
        place = [field]
    by_option = place[0] in options
    name = f"--{'.'.join(place)}".replace("_", "-") if by_option else ".".join(place)
    if problem["type"] == "extra_forbidden":
        known = Reading.model_fields if "reading" in place[:-1] else kind.model_fields
        close = get_close_matches(place[-1], known if len(place) == 1 or "reading" in place else (), 1)
        said = "there is no such setting" + (f"; did you mean {close[0]}?" if close else ".")
    elif problem["type"] == "missing":
        said = "is missing."
    elif isinstance(problem["input"], str | int | float):
        said = f"{said[0].lower()}{said[1:]}, not {problem['input']!r}."
    else:
        said += "."
    return f"{file}: {name}: {said}" if file and not by_option else f"{name}: {said}"


def config_text(config: StudyConfig) -> str:
    """YAML that `read_config` reads back to the same settings; defaults are left out."""
    dumped = config.model_dump(exclude_defaults=True, mode="json")
    what = ("checkpoints", "probes", "control", "queries")
    values = {key: dumped[key] for key in (*what, *dumped) if key in dumped}
    for key in ("probes", "queries", "control"):
        if key in values:
            values[key] = {name: _short(one) for name, one in values[key].items()}
    if "train_data" in values:
        values["train_data"] = [_short(one) for one in values["train_data"]]
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _short(one: dict[str, Any]) -> Any:
    return one["file"] if one.keys() == {"file"} else one
