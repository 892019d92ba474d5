"""Answers before a judge that stands somewhere, and what it said: where the judging room meets a model.

Replies are kept as they come, so a killed run goes on with the same call and asks nothing twice.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from assay.asking.cache import Cache
from assay.asking.drive import drive
from assay.asking.spent import Spent
from assay.data.example import Example
from assay.judging.agreement import HumanAgreement, agreement
from assay.judging.columns import KEY_CHECKPOINTS, labelled_case
from assay.judging.judgement import Case, Judgement, Pairing, Preference
from assay.judging.work import Asking, Manner, compare, judge
from assay.progress import SILENT, Progress
from assay.runs.config import Strict
from assay.runs.crafting.asking import opened
from assay.runs.crafting.config import Place, Price

T = TypeVar("T")


class JudgeConfig(Strict):
    """Who judges and how. No key is among it: `key_env` names the environment variable that holds one.

    `endpoint` with `model` is an OpenAI-compatible server, `local` a model loaded here. `attempts` bounds the
    tries for a verdict that can be read; `timeout` (seconds) and `max_retries` are the client's, for each of
    them. `key_checkpoints` names the queries' column with what a right answer must do. `price` is that of a
    million tokens, of prompts and of replies.
    """

    endpoint: str | None = None
    model: str | None = None
    local: str | None = None
    key_env: str | None = "OPENAI_API_KEY"
    attempts: int = Field(default=3, ge=1)
    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    max_tokens: int = Field(default=1024, ge=1)
    concurrency: int = Field(default=8, ge=1)
    timeout: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    max_retries: int = Field(default=5, ge=0)
    key_checkpoints: str = KEY_CHECKPOINTS
    price: Price | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "JudgeConfig":
        parts = urlsplit(self.endpoint or "")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "endpoint: give the address without a user name, a password or anything behind a question "
                "mark; a key belongs into the environment"
            )
        if bool(self.endpoint) != bool(self.model):
            raise ValueError("model: give an endpoint and the name of the model there, both or neither")
        if bool(self.endpoint) == bool(self.local):
            raise ValueError("local: name the judge, as an endpoint with a model or as a local one")
        return self

    @property
    def place(self) -> Place:
        if self.local:
            return Place(self.local)
        return Place(self.model or "", self.endpoint, self.key_env)

    @property
    def manner(self) -> Manner:
        return Manner(self.attempts, self.temperature, self.max_tokens)


@dataclass(frozen=True, slots=True)
class Judged(Generic[T]):
    """What a judge said, in the order that it was asked, its name, and what asking took.

    The name stands for the judge in the cache: a local model's holds a digest of its weights.
    """

    judge: str
    verdicts: tuple[T, ...]
    spent: Spent


@dataclass(frozen=True, slots=True)
class BesidePeople:
    """Answers that people judged before a judge: `labels` and verdicts in the order of `cases`.

    `agreement` is None where no answer has both.
    """

    cases: tuple[Case, ...]
    labels: tuple[bool | None, ...]
    judged: Judged[Judgement]
    agreement: HumanAgreement | None


def judge_answers(
    cases: Sequence[Case], config: JudgeConfig, kept: Path, *, progress: Progress = SILENT
) -> Judged[Judgement]:
    """Whether each answer is right. Replies are kept in the SQLite file at `kept`.

    Equal answers to one question are asked about once. Raises as opening a model and `asking.drive` do:
    ConfigError for a judge that is plainly gone, after which the same call goes on where this one stopped.
    """
    jobs = (judge(case, config.manner) for case in cases)
    return _driven(jobs, len(cases), "judged answers", config, kept, progress)


def compare_answers(
    pairings: Sequence[Pairing], config: JudgeConfig, kept: Path, *, progress: Progress = SILENT
) -> Judged[Preference]:
    """Which of two answers is better, for each pairing; otherwise as `judge_answers`."""
    jobs = (compare(pairing, config.manner) for pairing in pairings)
    return _driven(jobs, len(pairings), "compared answers", config, kept, progress)


def agree_with_people(
    examples: Sequence[Example],
    config: JudgeConfig,
    kept: Path,
    *,
    answer: str,
    label: str,
    progress: Progress = SILENT,
) -> BesidePeople:
    """Let the judge judge answers that people have judged.

    Each example is a question with its golden answer as completion; the columns `answer` and `label` of its
    row hold what somebody answered and whether people find it right. Raises as `judge_answers` and
    `labelled_case` do.
    """
    pairs = [
        labelled_case(example, answer=answer, label=label, column=config.key_checkpoints)
        for example in examples
    ]
    cases, labels = tuple(case for case, _ in pairs), tuple(said for _, said in pairs)
    found = judge_answers(cases, config, kept, progress=progress)
    both = {one.example_id for one in found.verdicts if one.right is not None}
    known = {case.id: said for case, said in pairs if said is not None}
    agreed = agreement(found.verdicts, known) if both & known.keys() else None
    return BesidePeople(cases, labels, found, agreed)


def _driven(
    jobs: Iterable[Asking[T]], count: int, label: str, config: JudgeConfig, kept: Path, progress: Progress
) -> Judged[T]:
    with ExitStack() as open_things:
        model = open_things.enter_context(closing(opened(config.place, config)))
        cache = open_things.enter_context(closing(Cache(kept)))
        spent: dict[str, Spent] = {}
        driven = drive(jobs, {"judge": model}, cache, spent=spent)
        verdicts = []
        with progress.stage(label, count, "answers") as advance:
            for verdict in driven:
                verdicts.append(verdict)
                advance(1)
        return Judged(model.name, tuple(verdicts), Spent.total(spent.values()))
