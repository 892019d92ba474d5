"""A validation from settings to run folder: read, train every arm, ask it, compare, report.

The one place where the rooms meet; each step is a call into one of them. A killed run goes on at the first
arm and seed that is not finished, and ends in the same tables.
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from assay import __version__
from assay.data.example import Reject
from assay.data.readers import write_rejects
from assay.files import write_atomically, write_json, write_text
from assay.fingerprint import fingerprint
from assay.models.bases import given_base
from assay.progress import SILENT, Progress
from assay.report.validation import validation_lines, write_validation_report
from assay.runs.folder import SETTINGS, refuse_others, require_writable
from assay.runs.validation.arms import ANSWERS, BENCHMARKS, any_finished, carried_out, queries_of, work_of
from assay.runs.validation.benchmarks import Benchmarks
from assay.runs.validation.config import ValidateConfig, config_text
from assay.runs.validation.inputs import read_validation, tokenise_validation
from assay.runs.validation.judged import judged, require_judge
from assay.runs.validation.plans import arms_asked, plan_notes, plans_of, summaries
from assay.runs.validation.predictions import read_study, studies_of
from assay.runs.validation.result import result_of
from assay.runs.validation.settings import model_names, settings_of
from assay.validation.result import ValidationResult

RESULT, REPLIES, LABELLED = "validation.json", "replies.sqlite", "labels.parquet"


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """A finished validation: all that it says, every answer, the rows that were set aside, the report."""

    config: ValidateConfig
    result: ValidationResult
    answers: pa.Table
    sentences: Sequence[str]
    rejects: tuple[Reject, ...]
    folder: Path
    report: Path


def run_validation(
    config: ValidateConfig, out: Path, *, progress: Progress = SILENT, command: str | None = None
) -> Validation:
    """Carry out the validation that `config` describes in the folder `out`, going on with what is there.

    Raises AssayError of the fitting kind for whatever a person can mend; nothing is written before data,
    models' tokenizers and settings have been read without error.
    """
    require_writable(out)
    arms = arms_asked(config)
    models = model_names([given_base(one) for one in config.base_model])
    said = [read_study(Path(one)) for one in config.study]
    needed = tuple(dict.fromkeys(name for arm in arms for name in arm.sets))
    examples = read_validation(config, needed)
    ready = {name: tokenise_validation(config, examples, source) for name, source in models.items()}
    plans = plans_of(config, arms, ready, config.seeds)
    read_notes = (*examples.notes, *(note for one in ready.values() for note in one.notes))
    for note in (*read_notes, *plan_notes(config, arms, plans)):
        progress.note(note)
    for one in ready.values():
        queries_of(one, config)
    require_judge(config, examples)
    benchmarks = Benchmarks(config, examples) if config.benchmarks else None
    settings = settings_of(config, models, ready, None if benchmarks is None else benchmarks.settings)
    studies = studies_of(said, settings["base_model"])
    if any_finished(out) or not (out / SETTINGS).is_file():
        refuse_others(out, settings, "validation")
    rejects = (*examples.rejects, *(reject for one in ready.values() for reject in one.rejects))
    write_json(out / SETTINGS, settings)
    write_text(out / "config.yaml", config_text(config))
    if rejects:
        write_rejects(out / "rejects.jsonl", rejects)
    else:
        (out / "rejects.jsonl").unlink(missing_ok=True)

    work = work_of(arms, models, config.seeds, plans, settings, out)
    asked = list(carried_out(work, ready, config, benchmarks, progress))
    answers = pa.concat_tables(one.answers for one in asked)
    benchmarked = [one.benchmarks for one in asked if one.benchmarks is not None]
    verdicts = judged(config, answers, examples, out / REPLIES, progress)
    answers = verdicts.answers
    progress.note("Writing tables and the report.")
    about = {
        "command": command,
        "config": config_text(config),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "base_model": ", ".join(models),
        "recipe": settings["recipe"],
        "continue_recipe": settings["continue_recipe"] if any(arm.continues for arm in arms) else None,
        "benchmarks": settings.get("benchmarks"),
        "device": settings["device"],
        "versions": {**settings["versions"], "assay": __version__, "python": platform.python_version()},
        "fingerprint": fingerprint(settings),
    }
    result = result_of(
        config,
        arms,
        summaries(arms, tuple(models), config.seeds, plans),
        answers,
        examples,
        studies,
        about,
        verdicts.told,
        pa.concat_tables(benchmarked) if benchmarked else None,
    )
    write_atomically(out / ANSWERS, lambda temporary: pq.write_table(answers, temporary))
    if benchmarked:
        whole = pa.concat_tables(benchmarked)
        write_atomically(out / BENCHMARKS, lambda temporary: pq.write_table(whole, temporary))
    if verdicts.beside_people is not None:
        write_atomically(out / LABELLED, lambda temporary: pq.write_table(verdicts.beside_people, temporary))
    write_json(out / RESULT, result.to_dict())
    report = write_validation_report(result, out)
    return Validation(config, result, answers, validation_lines(result), rejects, out, report)
