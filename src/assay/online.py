"""Whether the hub answers, asked once, and quiet while others ask it. Knows no models and no data sets.

Where there is no network huggingface_hub tries again and again for half a minute a file, and says so line by
line; so we ask once before it does, and where nothing answers its cache alone is looked into.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

CHATTY = ("huggingface_hub", "httpx", "httpx2", "urllib3")


@contextmanager
def hushed() -> Iterator[None]:
    """Nothing but errors from the packages that talk to the hub; what matters is raised."""
    import huggingface_hub.utils.logging  # noqa: F401  sets its logger's level when it is imported

    loggers = [logging.getLogger(name) for name in CHATTY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def hub_answers() -> bool:
    """Whether the hub gives any answer within `HF_HUB_ETAG_TIMEOUT` seconds (10); never offline."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    try:
        with hushed():
            get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception:
        return False
    return True


def offline() -> bool:
    """Whether a person has set `HF_HUB_OFFLINE`: caches alone are asked, and nobody waits."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)
