"""What every arm learns from in which step, for every base model and seed. Trains nothing."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from assay.data.texts import counted
from assay.errors import ConfigError
from assay.runs.validation.config import ValidateConfig
from assay.runs.validation.inputs import Ready
from assay.validation.arms import Arm, arms_of, design_named, matched_to, parse_arm
from assay.validation.result import ArmSummary
from assay.validation.schedule import Schedule, schedule

Plans = Mapping[tuple[str, str, int], Schedule]
"""By base model, arm and seed."""


def arms_asked(config: ValidateConfig) -> tuple[Arm, ...]:
    """The arms of the design and those that are listed, in their order; the first is the reference.

    Raises ConfigError for what is no arm, and where nothing can be compared.
    """
    texts = [] if config.design is None else [arm.name for arm in design_named(config.design).arms]
    listed = [parse_arm(text).name for text in config.arms]
    arms = arms_of([*texts, *(name for name in listed if name not in texts)], list(config.sets))
    if len(arms) < 2:
        raise ConfigError(f"There is one arm, {arms[0].name!r}; name another to hold against it.")
    if arms[0].continues:
        raise ConfigError(
            f"The first arm is what the others are held against, and {arms[0].name!r} continues another; "
            "put one before it that starts from the pretrained model."
        )
    return arms


def plans_of(
    config: ValidateConfig, arms: Sequence[Arm], ready: Mapping[str, Ready], seeds: Sequence[int]
) -> dict[tuple[str, str, int], Schedule]:
    """The steps of every arm. Raises DataError naming a row without learned tokens."""
    plans = {}
    for model, one in ready.items():
        tokens = {name: [row.completion_tokens for row in part.tokens] for name, part in one.sets.items()}
        for arm in arms:
            recipe = config.recipe_of(continues=arm.continues)
            assert recipe.epochs is not None
            for seed in seeds:
                plans[model, arm.name, seed] = schedule(
                    arm,
                    tokens,
                    batch_size=recipe.batch_size,
                    epochs=int(recipe.epochs),
                    seed=seed,
                    match=config.match,
                    reference=matched_to(arm, arms),
                )
    return plans


def summaries(
    arms: Sequence[Arm], models: Sequence[str], seeds: Sequence[int], plans: Plans
) -> tuple[ArmSummary, ...]:
    """How much every arm learns from, means over seeds."""
    found = []
    for model in models:
        for arm in arms:
            of_seeds = [plans[model, arm.name, seed] for seed in seeds]
            found.append(
                ArmSummary(
                    model,
                    arm.name,
                    arm.start,
                    tuple(phase.sets for phase in arm.phases),
                    float(np.mean([len(one) for one in of_seeds])),
                    float(np.mean([one.examples for one in of_seeds])),
                    float(np.mean([one.tokens for one in of_seeds])),
                )
            )
    return tuple(found)


def plan_notes(config: ValidateConfig, arms: Sequence[Arm], plans: Plans) -> Iterator[str]:
    """Sentences about what is to come."""
    steps = sum(len(one) for one in plans.values())
    yield f"{counted(len(plans), 'training')} of {len(arms)} arms, {counted(steps, 'step')} in all."
    unread = sorted({*config.sets} - {name for arm in arms for name in arm.sets})
    if unread:
        yield f"No arm trains on {', '.join(unread)}."
    if len(config.seeds) < 3:
        yield f"{counted(len(config.seeds), 'seed')}: three or more tell how far trainings differ."
