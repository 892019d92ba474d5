"""What a scoring depends on, as fields that can be compared, and what of it a run folder has settled already.

Some options matter to some methods alone. They are settled when the first such method is scored in a folder,
so that methods can be added later, and no earlier.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from assay import __version__
from assay.files import read_json
from assay.fingerprint import digest
from assay.models.session import Session
from assay.runs.folder import SETTINGS, refuse_others
from assay.runs.scores.config import ScoreConfig
from assay.runs.scores.needs import CURVATURES, IN_CONTEXT, meets_queries, options_in_context
from assay.runs.scores.queries import Queries

OF_PROJECTIONS = ("project", "projection")
OF_CURVATURES = ("damping", "factor_examples")
OF_CONTEXTS = options_in_context(IN_CONTEXT)


def settings_of(session: Session, queries: Queries, config: ScoreConfig) -> dict[str, Any]:
    """Everything that every measure depends on, but for the pool and the weights of a checkpoint."""
    return {
        "assay": __version__,
        "model": session.describe(),
        "tokenizer": digest(json.dumps(session.tokenizer.chat_template, sort_keys=True)),
        "reduction": "sum over completion tokens",
        "loss_on": config.loss_on,
        "query_loss_on": config.query_loss_on,
        "queries": queries.digest() if len(queries) else None,
        "seed": config.seed,
    }


def options_of(config: ScoreConfig, measures: Collection[str], queries: int) -> dict[str, Any]:
    """The options that some of these measures depend on."""
    names: list[str] = []
    if queries and any(map(meets_queries, measures)):
        names += OF_PROJECTIONS
    if any(measure.removesuffix("_self") in CURVATURES for measure in measures):
        names += OF_CURVATURES
    names += options_in_context(measures)
    return {name: getattr(config, name) for name in names}


def settled(out: Path, settings: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """All of these together with the options that the folder settled for other methods.

    Raises ResumeError for a folder that was made with others, naming what differs.
    """
    theirs = _earlier(out)
    kept = {name: theirs[name] for name in (*OF_PROJECTIONS, *OF_CURVATURES, *OF_CONTEXTS) if name in theirs}
    known = {name: value for name, value in options.items() if name in kept}
    refuse_others(out, {**settings, **kept, **known}, "scoring", before=("answers", "pool"))
    return {**settings, **kept, **options}


def _earlier(out: Path) -> dict[str, Any]:
    """What the folder's settings say; nothing where they cannot be read, which `refuse_others` tells."""
    try:
        found = read_json(out / SETTINGS)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
