"""Studies for the tests, made from random gradients or from influences chosen by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from assay.studies.measurements import CheckpointMeasurements, Direction, ExampleSet, Measurements


def examples(
    name: str,
    tasks: Sequence[str | None],
    *,
    tokens: Sequence[int] | None = None,
    pairs: Sequence[str | None] | None = None,
    direction: Direction = "desired",
) -> ExampleSet:
    count = len(tasks)
    return ExampleSet(
        name=name,
        ids=tuple(f"{name}-{i}" for i in range(count)),
        tasks=tuple(tasks),
        pairs=tuple(pairs) if pairs is not None else (None,) * count,
        tokens=np.array(tokens if tokens is not None else [4] * count),
        texts=tuple((f"{name} prompt {i}", f"{name} completion {i}") for i in range(count)),
        direction=direction,
    )


def from_gradients(
    probe_sets: Sequence[ExampleSet],
    query_sets: Sequence[ExampleSet],
    *,
    control: str | None = None,
    checkpoints: int = 3,
    dimension: int = 6,
    seed: int = 0,
    exclude: float = 0.0,
) -> Measurements:
    """Every example gets its task's direction plus noise; a share `exclude` of the pairs is excluded."""
    generator = np.random.default_rng(seed)
    labels = sorted({t or "" for each in (*probe_sets, *query_sets) for t in each.tasks})
    directions = dict(zip(labels, generator.normal(size=(len(labels), dimension)), strict=True))

    def gradients(each: ExampleSet) -> np.ndarray:
        centre = np.array([directions[task or ""] for task in each.tasks])
        return centre + generator.normal(size=centre.shape)

    made = []
    for step in range(1, checkpoints + 1):
        g = {each.name: gradients(each) for each in (*probe_sets, *query_sets)}
        norms = {name: (rows**2).sum(1) for name, rows in g.items()}
        losses = {name: generator.uniform(1, 9, len(rows)) for name, rows in g.items()}
        p, q = ([each.name for each in sets] for sets in (probe_sets, query_sets))
        made.append(
            CheckpointMeasurements(
                name=f"checkpoint-{50 * step}",
                step=50 * step,
                epoch=float(step),
                learning_rate=1e-4,
                dot={(a, b): g[a] @ g[b].T for a in p for b in q},
                probe_sqnorm={a: norms[a] for a in p},
                query_sqnorm={b: norms[b] for b in q},
                probe_loss={a: losses[a] for a in p},
                query_loss={b: losses[b] for b in q},
                probe_gram={a: g[a] @ g[a].T for a in p},
                query_gram={b: g[b] @ g[b].T for b in q},
            )
        )
    excluded = {
        (a.name, b.name): generator.random((len(a), len(b))) < exclude for a in probe_sets for b in query_sets
    }
    return Measurements(
        {each.name: each for each in probe_sets},
        {each.name: each for each in query_sets},
        control,
        tuple(made),
        excluded,
    )


def from_influences(
    influences: Mapping[tuple[str, str], Sequence[np.ndarray]],
    *,
    tasks: int,
    control: str | None = None,
    undesired: Sequence[str] = (),
    tokens: Mapping[str, int] | None = None,
    paired: bool = True,
    steps: Sequence[int] | None = None,
    query_norms: np.ndarray | None = None,
) -> Measurements:
    """A study whose RelInf is given: `influences[p, q][checkpoint][probe, query]`.

    Examples are spread evenly over `tasks` in blocks. Products within sets are not given.
    """
    names = [list(dict.fromkeys(key[side] for key in influences)) for side in (0, 1)]
    shapes = {key: np.shape(each[0]) for key, each in influences.items()}

    def block(name: str, count: int, direction: Direction) -> ExampleSet:
        labels = [f"task-{i * tasks // count:02d}" for i in range(count)]
        pairs = [f"r{i}" for i in range(count)] if paired else None
        each = (tokens or {}).get(name, 4)
        return examples(name, labels, tokens=[each] * count, pairs=pairs, direction=direction)

    probes = {p: block(p, next(s[0] for k, s in shapes.items() if k[0] == p), "desired") for p in names[0]}
    queries = {
        q: block(
            q,
            next(s[1] for k, s in shapes.items() if k[1] == q),
            "undesired" if q in undesired else "desired",
        )
        for q in names[1]
    }
    count = len(next(iter(influences.values())))
    made = []
    for index in range(count):
        norms = {q: np.ones(len(each)) if query_norms is None else query_norms for q, each in queries.items()}
        step = (index + 1) * 50 if steps is None else steps[index]
        made.append(
            CheckpointMeasurements(
                name=f"checkpoint-{step}",
                step=step,
                epoch=None,
                learning_rate=None,
                dot={key: np.asarray(each[index]) * norms[key[1]] for key, each in influences.items()},
                probe_sqnorm={p: np.ones(len(each)) for p, each in probes.items()},
                query_sqnorm=norms,
                probe_loss={p: np.full(len(each), 8.0) for p, each in probes.items()},
                query_loss={q: np.full(len(each), 8.0) for q, each in queries.items()},
                probe_gram={},
                query_gram={},
            )
        )
    excluded = {key: np.zeros(shape, dtype=bool) for key, shape in shapes.items()}
    return Measurements(probes, queries, control, tuple(made), excluded)


def without_task(measured: Measurements, task: str) -> Measurements:
    """The same study had the task never been there, as probe or as query."""
    keep = {
        role: {name: np.array([t != task for t in each.tasks]) for name, each in sets.items()}
        for role, sets in (("p", measured.probe_sets), ("q", measured.query_sets))
    }
    p, q = keep["p"], keep["q"]

    def thin(each: ExampleSet, rows: np.ndarray) -> ExampleSet:
        kept = np.flatnonzero(rows)
        return replace(
            each,
            ids=tuple(each.ids[i] for i in kept),
            tasks=tuple(each.tasks[i] for i in kept),
            pairs=tuple(each.pairs[i] for i in kept),
            texts=tuple(each.texts[i] for i in kept),
            tokens=each.tokens[kept],
        )

    return Measurements(
        {name: thin(each, p[name]) for name, each in measured.probe_sets.items()},
        {name: thin(each, q[name]) for name, each in measured.query_sets.items()},
        measured.control,
        tuple(
            replace(
                at,
                dot={key: dot[np.ix_(p[key[0]], q[key[1]])] for key, dot in at.dot.items()},
                probe_sqnorm={name: each[p[name]] for name, each in at.probe_sqnorm.items()},
                query_sqnorm={name: each[q[name]] for name, each in at.query_sqnorm.items()},
                probe_loss={name: each[p[name]] for name, each in at.probe_loss.items()},
                query_loss={name: each[q[name]] for name, each in at.query_loss.items()},
                probe_gram={name: each[np.ix_(p[name], p[name])] for name, each in at.probe_gram.items()},
                query_gram={name: each[np.ix_(q[name], q[name])] for name, each in at.query_gram.items()},
            )
            for at in measured.checkpoints
        ),
        {key: each[np.ix_(p[key[0]], q[key[1]])] for key, each in measured.excluded.items()},
    )
