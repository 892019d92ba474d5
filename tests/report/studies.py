"""Study results made up for the tests of the report: the full one, and the lean ones at its edges."""

from dataclasses import replace
from itertools import product

import numpy as np

from assay.studies.result import (
    Cell,
    Context,
    Contrast,
    Curve,
    CurvePoint,
    Estimate,
    Extreme,
    Flag,
    Reference,
    Rung,
    SetSummary,
    Settle,
    StudyResult,
    Verdict,
    VsControl,
    VsZero,
)

TASKS = (
    "number to words",
    "reverse",
    "sort",
    "max",
    "count",
    "add",
    "compare",
    "swap story",
    "topic",
    "replace",
    "extract record",
    "same or different",
)
STRATEGIES = {
    "cot": (0.16, 0.062),
    "clarify": (0.05, 0.021),
    "evaluation": (0.06, 0.016),
    "shuffled": (-0.05, -0.03),
    "wrong": (-0.12, 0.004),
}
CONTROL = ("plain", (0.31, 0.008))
ESTIMATORS = {
    "relinf": 1.0,
    "ratio_of_sums": 0.8,
    "median": 0.7,
    "pair_cosine": 0.5,
    "cosine_of_means": 0.9,
    "relinf_per_token": 1.6,
    "dot_per_probe_token": 12.0,
    "minus_probe_loss": 6.0,
}
CONTEXTS: tuple[Context, ...] = ("in-task", "cross-task")


def estimate(value: float, half: float, tasks: int = 12) -> Estimate:
    target = "tasks like these" if tasks >= 5 else "these tasks"
    method = "delete-one-task jackknife with t quantiles" if tasks >= 5 else "bootstrap within tasks"
    return Estimate(value, value - half, value + half, half / 2.2, target, tasks, method)


def make_study(
    *,
    strategies: tuple[str, ...] = tuple(STRATEGIES),
    control: bool = True,
    queries: tuple[str, ...] = ("held-out", "bad answers"),
    contexts: tuple[Context, ...] = CONTEXTS,
    checkpoints: int = 8,
    steps: bool = True,
    tasks: tuple[str, ...] = TASKS,
    undecided: bool = False,
    flags: bool = True,
    estimators: tuple[str, ...] = tuple(ESTIMATORS),
) -> StudyResult:
    """A study that looks like a real one; the second query set is an undesired one."""
    random = np.random.default_rng(7)
    truths = {name: STRATEGIES.get(name, (0.1, 0.03)) for name in strategies}
    names = list(truths) + ([CONTROL[0]] if control else [])
    truths[CONTROL[0]] = CONTROL[1]
    curves = tuple(
        _curve(random, truths[name], name, query, context, estimator, checkpoints, steps, len(tasks), queries)
        for name, query, context, estimator in product(names, queries, contexts, estimators)
    )
    levels = {(c.probe_set, c.query_set, c.context): c.level for c in curves if c.estimator == estimators[0]}
    verdicts = tuple(
        _verdict(name, query, context, levels, control, undecided, flags, query == "bad answers")
        for query, context, name in product(queries, contexts, names)
    )
    return StudyResult(
        verdicts=verdicts,
        curves=curves,
        cells=_cells(random, names, truths, queries, tasks),
        extremes=_extremes(random, strategies, queries),
        sets=_sets(names, queries, tasks),
        references=_references(names, tasks),
        flags=(Flag("one_trajectory", "One run carries no run-to-run variation: another seed may differ."),)
        if flags
        else (),
        excluded_pairs=24 if flags else 0,
        estimator=estimators[0],
        design="cot",
        about={
            "model": "examples/base-llama (0.7 M parameters), LoRA r=16 on up and down",
            "command": "assay study --checkpoints runs/sft --probes cot=cot.jsonl "
            "--probes clarify=clarify.jsonl --control plain=plain.jsonl "
            "--queries held-out=eval.jsonl --out runs/study",
            "config": {"checkpoints": "runs/sft", "probes": {"cot": "cot.jsonl"}, "margin": 0.2},
            "date": "2025-03-01",
            "seconds": 83.2,
            "versions": {"assay": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
            "fingerprint": "9f2c61aa03be77d1",
        },
        contrasts=_contrasts(names, queries, contexts, levels),
    )


def climbed(result: StudyResult) -> StudyResult:
    """The same study after real steps with its first strategy and the control, which turned it around."""
    names = {result.verdicts[0].probe_set, CONTROL[0]}
    above = tuple(
        replace(
            v,
            estimator="lookahead",
            evidence="lookahead",
            vs_control=None if v.vs_control is None else "worse",
            when="undecided",
            flags=(Flag("rungs_disagree", f"Gradients and real steps differ about {v.probe_set}."),),
        )
        for v in result.verdicts
        if v.probe_set in names
    )
    taken = {(v.probe_set, v.query_set, v.context): v for v in above}
    return replace(
        result,
        verdicts=tuple(taken.get((v.probe_set, v.query_set, v.context), v) for v in result.verdicts),
        rungs=(
            Rung(
                "gradient", result.verdicts, "Exact gradient products.", "Decided 3 of 4 verdicts.", 61.0, 0
            ),
            Rung(
                "lookahead",
                above,
                "20 real steps on <b>8</b> base examples.",
                "Decided 1 of 1 verdict.",
                245.0,
                117,
                ("The time budget of 4 min has ended: wrong has none of 3 seeds.",),
            ),
        ),
    )


def _curve(random, truth, name, query, context, estimator, checkpoints, steps, tasks, queries) -> Curve:
    scale = ESTIMATORS.get(estimator, 1.0)
    inside, across = truth
    level = (inside if context == "in-task" else across) * scale * (1.0 if query == queries[0] else 0.45)
    if estimator == "minus_probe_loss":
        level = -1.2 - inside * 3
    half = (0.05 if context == "in-task" else 0.012) * scale
    shape = (
        np.linspace(1.35, 0.8, checkpoints) if context == "in-task" else np.linspace(0.1, 1.5, checkpoints)
    )
    noise = random.normal(0, 0.12, checkpoints)
    values = level * (shape + noise)
    points = tuple(
        CurvePoint(
            f"checkpoint-{50 * (i + 1)}",
            50 * (i + 1) if steps else None,
            None,
            estimate(float(v), half * float(random.uniform(0.8, 1.4)), tasks),
        )
        for i, v in enumerate(values)
    )
    trend = estimate(float(values[-1] - values[0]), half, tasks) if checkpoints > 1 else None
    return Curve(
        name,
        query,
        context,
        estimator,
        points,
        estimate(float(values.mean()), half * 0.8, tasks),
        points[-1].estimate,
        trend,
    )


def _verdict(name, query, context, levels, control, undecided, flags, undesired) -> Verdict:
    sign = -1.0 if undesired else 1.0
    effect = _signed(levels[name, query, context], sign)
    has_rival = control and name != CONTROL[0]
    rival = _signed(levels[CONTROL[0], query, context], sign) if has_rival else None
    half = 0.4 * (effect.high - effect.low)
    difference = estimate(effect.value - rival.value, half, effect.tasks) if rival else None
    margin = 0.2 if control else None
    vs_control: VsControl | None = None
    if difference:
        vs_control = "better" if difference.low > 0 else "worse" if difference.high < 0 else "undecided"
        if name == "evaluation" and context == "cross-task":
            vs_control = "like"
    vs_zero: VsZero = "helps" if effect.low > 0 else "harms" if effect.high < 0 else "none"
    if undecided:
        vs_control, vs_zero = ("undecided" if has_rival else None), "undecided"
    settle = None
    if "undecided" in (vs_control, vs_zero):
        more = 48 if name != "wrong" else None
        settle = Settle(
            "probes",
            16,
            more,
            f"About {more} probes per task would settle it."
            if more
            else "No number of probes would settle it: the difference is too near to zero.",
        )
    caveats = (
        Flag("length_confound", f"{name} completions are 3.1 times as long as the control's."),
        Flag("estimators_disagree", "The cosine has another sign than the relative influence."),
    )
    return Verdict(
        name,
        query,
        context,
        "relinf",
        vs_control,
        vs_zero,
        "late" if context == "cross-task" else "throughout",
        f"{name} has an effect on {query}, {context}, that the interval tells.",
        effect,
        rival,
        difference,
        margin,
        caveats[: 2 if name == "cot" else 1] if flags and name in ("cot", "wrong") else (),
        settle,
    )


def _contrasts(names, queries, contexts, levels) -> tuple[Contrast, ...]:
    if "bad answers" not in queries or len(queries) < 2:
        return ()
    return tuple(
        Contrast(
            name,
            queries[0],
            "bad answers",
            context,
            "relinf",
            "desired" if gap > 0 else "undecided",
            f"{name} lifts {queries[0]} more than bad answers.",
            estimate(gap, 0.03),
            None if name == CONTROL[0] else estimate(gap / 3, 0.02),
        )
        for context, name in product(contexts, names)
        for gap in [levels[name, queries[0], context].value - levels[name, "bad answers", context].value]
    )


def _signed(value: Estimate, sign: float) -> Estimate:
    return value if sign > 0 else replace(value, value=-value.value, low=-value.high, high=-value.low)


def _cells(random, names, truths, queries, tasks) -> tuple[Cell, ...]:
    return tuple(
        Cell(name, query, p, q, _cell(random, truths[name], p == q))
        for name, query, p, q in product(names, queries, tasks, tasks)
    )


def _cell(random, truth, inside) -> float:
    return float(truth[0 if inside else 1] + random.normal(0, 0.08 if inside else 0.02))


def _extremes(random, strategies, queries) -> tuple[Extreme, ...]:
    return tuple(
        Extreme(
            name,
            query,
            f"{name}-{rank}",
            f"{query}-{rank}",
            (
                f"Sort these words: pear apple fig ({rank}). Give the reason first.",
                "apple comes before fig, fig comes before pear. So the answer is apple fig pear.",
            ),
            ("Sort these words: plum kiwi date.", "date kiwi plum"),
            sign * float(random.uniform(1.0, 3.0)),
            "in-task" if rank % 2 else "cross-task",
        )
        for name, query, sign, rank in product(strategies, queries, (1.0, -1.0), range(3))
    )


def _sets(names, queries, tasks) -> tuple[SetSummary, ...]:
    probes = tuple(
        SetSummary(
            name,
            "control" if name == CONTROL[0] else "probe",
            "desired",
            16 * len(tasks),
            len(tasks),
            38.0 if name == "cot" else 12.0,
            1.31,
        )
        for name in names
    )
    return probes + tuple(
        SetSummary(
            name, "query", "undesired" if name == "bad answers" else "desired", 192, len(tasks), 9.5, 1.52
        )
        for name in queries
    )


def _references(names, tasks) -> tuple[Reference, ...]:
    asks = {
        "cot": " Please give the reason first and then the final answer.",
        "clarify": " Please say in your own words what is asked.",
        "shuffled": " answer the Please",
    }
    return tuple(
        Reference(
            f"ref-{i}",
            task,
            tuple(
                (
                    name,
                    f"Here is a line of {task}: 5 pens and 2 books are exchanged.{asks.get(name, '')}",
                    "Xiao Zhang gives 5 pens. He gets 2 books. So the answer is 2." if name == "cot" else "2",
                )
                for name in names
            ),
        )
        for i, task in enumerate(tasks)
    )
