"""What the passes by gradients will take, said before they begin, and how queries are held at all of them."""

from collections.abc import Mapping

from assay.gradients.batch import Batch
from assay.gradients.curvature.fit import passes
from assay.gradients.engine import Engine
from assay.gradients.products import free_memory
from assay.gradients.projection import Projection
from assay.models.trajectory import Checkpoint
from assay.runs.scores.expected import Passes, said, seconds_per_token
from assay.runs.scores.factors import factors_file
from assay.runs.scores.measuring import Measuring, Missing
from assay.runs.scores.moments import trusted_optimizer
from assay.runs.scores.needs import MOMENTS
from assay.runs.scores.plan import Plan, bytes_needed, plan_of
from assay.runs.scores.projecting import choose


def prepare(run: Measuring, missing: Mapping[Checkpoint, Missing]) -> None:
    """Say what the passes over all these checkpoints take, and choose once how queries are held.

    Raises ModelError where Adam's moments are needed and not there or not this model's, ConfigError where the
    gradients of the queries do not fit into the memory that may be used.
    """
    plans = {one: plan_of(run, lacking) for one, lacking in missing.items()}
    for checkpoint, plan in plans.items():
        if set(plan.measures) & set(MOMENTS):
            trusted_optimizer(run.session, checkpoint)
    first = next(iter(missing))
    sample = run.pool.read_shard(min(missing[first]))
    with Engine(run.session.at(first)) as engine:
        engine.check([*sample, *run.queries.tokens])
        sentence = engine.coverage.sentence()
        run.say(f"{sentence[0].upper()}{sentence[1:]}.")
        length = run.pool.tokens / run.pool.examples

        def needed(project: Projection | None) -> float:
            budget = run.config.token_budget
            return max(
                bytes_needed(plan, engine, run.queries.tokens, length, budget, project)
                for plan in plans.values()
            )

        given = run.config.memory_gb
        limit = free_memory(engine.device) // 2 if given is None else int(given * 1e9)
        project = None
        if any(plan.holds for plan in plans.values()):
            project = choose(run.config, run.store.folder, limit, needed).projection
        seconds = seconds_per_token(
            sample,
            1 if engine.one_at_a_time else run.config.token_budget,
            lambda batch: engine.run(Batch.of(batch, engine.device), lambda name, parts: None).cpu(),
        )
    tokens = {one.name: run.tokens_of(lacking) for one, lacking in missing.items()}
    curvatures = {one.name: _curvature_tokens(run, one, plan) for one, plan in plans.items()}
    asked = sum(map(len, run.queries.tokens))
    besides = {name: more + asked for name, more in curvatures.items()}
    run.say(said("Gradients", Passes(tokens, besides), seconds, needed(project), "gradients and factors"))
    if any(curvatures.values()):
        at = ", ".join(name for name, more in curvatures.items() if more)
        run.say(f"Of that, {sum(curvatures.values()):,.0f} tokens are for fitting curvature, at {at}.")
    if project is not None:
        run.say(
            f"Gradients of queries are projected to at most {project.size:,} numbers per parameter "
            f"({project.kind}, seed {project.seed}), so scores are approximate."
        )


def _curvature_tokens(run: Measuring, checkpoint: Checkpoint, plan: Plan) -> float:
    """Tokens that go by before the curvatures of a plan are there."""
    folder, everyone = run.out / "factors" / checkpoint.name, run.pool.examples
    rounds = sum(passes(kind) for kind in plan.curvatures if not factors_file(folder, kind).is_file())
    return rounds * run.pool.tokens * min(run.config.factor_examples or everyone, everyone) / everyone
