"""All arms on all base models with all seeds: finished ones are read, the others are trained and asked.

An arm is finished when its table of answers is there. The state that other arms go on from, and its table of
benchmarks, are written before that table, so a run that was killed goes on at the first arm and seed without
one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from assay.data.texts import counted
from assay.errors import NumericsError
from assay.progress import SILENT, Progress
from assay.runs.inputs import chat_template_text
from assay.runs.validation.benchmarks import Benchmarks
from assay.runs.validation.config import ValidateConfig
from assay.runs.validation.evaluation import Queries, read_asked, write_asked
from assay.runs.validation.inputs import Ready
from assay.runs.validation.plans import Plans
from assay.runs.validation.settings import ARMS, arm_fingerprint, arm_folder
from assay.runs.validation.training import has_state, load_state, save_state, train_arm, untrained
from assay.validation.arms import Arm, in_order
from assay.validation.schedule import Drawn, Schedule

ANSWERS, BENCHMARKS, STATE = "answers.parquet", "benchmarks.parquet", "state.safetensors"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an arm said: to every query (`evaluation.ASKED`), and on benchmarks (`benchmarks.BENCHMARKED`),
    where there are any."""

    answers: pa.Table
    benchmarks: pa.Table | None


@dataclass(frozen=True, slots=True)
class Work:
    """One arm on one base model with one seed, and all that it needs."""

    model: str
    base_model: str
    arm: Arm
    seed: int
    plan: Schedule
    fingerprint: str
    folder: Path
    start: Path | None
    """The state it goes on from."""
    keeps: bool
    """Whether another arm goes on from it."""
    benchmarked: bool = False
    """Whether it is asked benchmarks, too."""

    @property
    def finished(self) -> Asked | None:
        answers = read_asked(self.folder / ANSWERS, self.fingerprint)
        benchmarks = read_asked(self.folder / BENCHMARKS, self.fingerprint) if self.benchmarked else None
        if answers is None or (self.benchmarked and benchmarks is None):
            return None
        if self.keeps and not has_state(self.folder / STATE, self.fingerprint):
            return None
        return Asked(answers, benchmarks)


def work_of(
    arms: Sequence[Arm],
    models: Mapping[str, str],
    seeds: Sequence[int],
    plans: Plans,
    settings: Mapping[str, Any],
    out: Path,
) -> list[Work]:
    """All there is to do, in an order in which every arm comes after the one it goes on from.

    Seed by seed, so that a run that is cut off has whole comparisons.
    """
    started_from = {arm.start for arm in arms}
    found: list[Work] = []
    for model, base_model in models.items():
        for seed in seeds:
            done: dict[str, Work] = {}
            for arm in in_order(arms):
                before = done.get(arm.start)
                plan = plans[model, arm.name, seed]
                done[arm.name] = Work(
                    model,
                    base_model,
                    arm,
                    seed,
                    plan,
                    arm_fingerprint(
                        settings,
                        model,
                        arm.name,
                        seed,
                        steps_in(plan),
                        before.fingerprint if before else None,
                    ),
                    arm_folder(out, model, arm.name, seed),
                    before.folder / STATE if before else None,
                    arm.name in started_from,
                    "benchmarks" in settings,
                )
            found += done.values()
    return found


def carried_out(
    work: Sequence[Work],
    ready: Mapping[str, Ready],
    config: ValidateConfig,
    benchmarks: Benchmarks | None = None,
    progress: Progress = SILENT,
) -> Iterator[Asked]:
    """What every arm said, in the order of `work`. Raises ResumeError for one that was made otherwise."""
    known = [one.finished for one in work]
    missing = sum(asked is None for asked in known)
    if 0 < missing < len(work):
        progress.note(
            f"Going on: {counted(len(work) - missing, 'arm')} trained before (each seed counts), "
            f"{missing:,} to go."
        )
    queries: dict[str, Queries] = {}
    for one, asked in zip(work, known, strict=True):
        if asked is None:
            if one.model not in queries:
                queries[one.model] = queries_of(ready[one.model], config)
            asked = _carry_out(one, ready[one.model], queries[one.model], config, benchmarks, progress)
        yield asked


def steps_in(plan: Schedule) -> list[tuple[Drawn, ...]]:
    return [step.rows for step in plan.steps]


def any_finished(out: Path) -> bool:
    """Whether any arm lies finished in a folder; before that its settings may still be mended."""
    return any((out / ARMS).rglob(ANSWERS))


def queries_of(ready: Ready, config: ValidateConfig) -> Queries:
    """The query sets as they are asked: answers are generated for desired sets alone."""
    generated = [name for name in ready.queries if name not in config.undesired]
    return Queries(
        ready.queries,
        ready.tokenizer,
        generated=[] if config.answers == "none" else generated,
        check="auto" if config.answers == "none" else config.answers,
        max_new_tokens=config.max_new_tokens,
        render=config.render,
        chat_template=chat_template_text(config.chat_template),
        token_budget=config.token_budget,
    )


def _carry_out(
    one: Work,
    ready: Ready,
    queries: Queries,
    config: ValidateConfig,
    benchmarks: Benchmarks | None,
    progress: Progress,
) -> Asked:
    recipe = config.recipe_of(continues=one.arm.continues)
    model = untrained(one.base_model, recipe, one.seed, config.device)
    if one.start is not None:
        load_state(one.start, model)
    label = f"{one.model}, {one.arm.name}, seed {one.seed}"
    try:
        train_arm(
            model,
            {name: part.tokens for name, part in ready.sets.items()},
            steps_in(one.plan),
            recipe,
            weigh=config.weigh,
            token_budget=config.token_budget,
            label=label,
            progress=progress,
        )
    except NumericsError as error:
        raise NumericsError(f"{label}: {error}") from error
    told = {"model": one.model, "arm": one.arm.name, "seed": one.seed}
    answers = queries.ask(model, told, progress)
    if one.keeps:
        save_state(one.folder / STATE, model, one.fingerprint)
    benchmarked = None
    if benchmarks is not None:
        benchmarked = benchmarks.ask(
            model, ready, told, chat_template=chat_template_text(config.chat_template), progress=progress
        )
        write_asked(one.folder / BENCHMARKS, benchmarked, one.fingerprint)
    write_asked(one.folder / ANSWERS, answers, one.fingerprint)
    return Asked(answers, benchmarked)
