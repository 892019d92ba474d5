"""Refuses measurements that are not finite, and sets aside checkpoints that say nothing.

Runs before any statistics. Knows no estimators.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from assay.errors import NumericsError
from assay.studies.measurements import CheckpointMeasurements, Measurements
from assay.studies.result import Flag

SHOWN = 3


def usable(measured: Measurements) -> tuple[Measurements, tuple[Flag, ...]]:
    """The measurements with usable checkpoints only, and flags for what was set aside.

    NumericsError names the examples of a NaN or Inf, or says that no checkpoint has a gradient.
    """
    for at in measured.checkpoints:
        _refuse_what_is_not_finite(measured, at)
    alive = [at for at in measured.checkpoints if not _vanished(at)]
    if not alive:
        raise NumericsError(
            "Every checkpoint has all-zero gradients for some set; check that the trained parameters are the "
            "ones that are measured."
        )
    trained = [at for at in alive if at.step != 0] or alive
    flags = tuple(_flags(measured, alive, trained))
    return replace(measured, checkpoints=tuple(trained)), flags


def _vanished(at: CheckpointMeasurements) -> bool:
    norms = [*at.probe_sqnorm.values(), *at.query_sqnorm.values()]
    return any(not np.any(norm) for norm in norms) or any(not np.any(dot) for dot in at.dot.values())


def _flags(
    measured: Measurements, alive: list[CheckpointMeasurements], trained: list[CheckpointMeasurements]
) -> Iterator[Flag]:
    kept = {at.name for at in alive}
    gone = [at.name for at in measured.checkpoints if at.name not in kept]
    if gone:
        yield Flag(
            "zero_gradient",
            f"At {_listed(gone)} all gradients of a set are zero, so nothing can be said there and it is "
            "left out.",
        )
    early = [at.name for at in alive if at.step == 0]
    if early and len(trained) < len(alive):
        yield Flag(
            "untrained_checkpoint",
            f"{_listed(early)} is the state before training (a fresh adapter says nothing about half of its "
            "parameters there), so it is left out.",
        )
    elif early:
        yield Flag(
            "untrained_checkpoint",
            "The only checkpoint is the state before training; a fresh adapter says nothing about half of "
            "its parameters there.",
        )
    for name, queries in measured.query_sets.items():
        silent = sorted(
            {queries.ids[i] for at in trained for i in np.flatnonzero(at.query_sqnorm[name] == 0)}
        )
        if silent:
            yield Flag(
                "zero_gradient",
                f"{len(silent)} of {len(queries)} queries of {name} have a gradient of exactly zero at some "
                f"checkpoint and are left out there: {_listed(silent)}.",
            )


def _refuse_what_is_not_finite(measured: Measurements, at: CheckpointMeasurements) -> None:
    for role, sets, norms, losses, grams in (
        ("probe", measured.probe_sets, at.probe_sqnorm, at.probe_loss, at.probe_gram),
        ("query", measured.query_sets, at.query_sqnorm, at.query_loss, at.query_gram),
    ):
        for name, examples in sets.items():
            for what, values in (("gradient norm", norms[name]), ("loss", losses[name])):
                bad = [examples.ids[i] for i in np.flatnonzero(~np.isfinite(values))]
                _refuse(bad, f"{what} of {role} set {name}", at.name)
            if name in grams and not np.all(np.isfinite(grams[name])):
                rows = np.flatnonzero(~np.isfinite(grams[name]).all(axis=1))
                whole = len(grams[name]) == len(examples)
                bad = [examples.ids[i] if whole else f"task {i + 1}" for i in rows]
                _refuse(bad, f"product within {role} set {name}", at.name)
    for (probe_set, query_set), dot in at.dot.items():
        probes, queries = measured.probe_sets[probe_set], measured.query_sets[query_set]
        bad = [f"{probes.ids[p]} with {queries.ids[q]}" for p, q in np.argwhere(~np.isfinite(dot))]
        _refuse(bad, f"product of {probe_set} with {query_set}", at.name)


def _refuse(bad: list[str], what: str, checkpoint: str) -> None:
    if bad:
        raise NumericsError(
            f"At {checkpoint} the {what} is not finite for {_listed(bad)}. Look at these examples, or "
            "measure in float32."
        )


def _listed(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
