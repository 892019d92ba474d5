"""Strategies from YAML files: where they are found, and every mistake in one by its line."""

from importlib.resources import files
from pathlib import Path

from assay.crafting.grammar import strategy_in
from assay.crafting.pages import Mistake, Page
from assay.crafting.strategy import Strategy
from assay.errors import ConfigError

__all__ = ["Mistake", "mistakes", "read_strategy", "shipped"]

SHIPPED = files("assay.crafting") / "strategies"


def shipped() -> tuple[str, ...]:
    """Names of the strategies that come with assay, sorted."""
    names = (Path(one.name) for one in SHIPPED.iterdir())
    return tuple(sorted(name.stem for name in names if name.suffix == ".yaml"))


def read_strategy(name_or_path: str | Path) -> Strategy:
    """A shipped strategy by its name, or a file of your own.

    A text is a path where it ends in .yaml or .yml or holds a slash, else a name. Raises ConfigError with
    the first mistake.
    """
    strategy, found = _read(name_or_path)
    if strategy is None or found:
        first, *others = found
        raise ConfigError(f"{name_or_path}, line {first.line}: {first.sentence}{_more(len(others))}")
    return strategy


def mistakes(name_or_path: str | Path) -> list[Mistake]:
    """Everything that is wrong in a strategy's file, by line; empty where `read_strategy` reads it.

    Raises ConfigError where there is no such file.
    """
    return _read(name_or_path)[1]


def _read(name_or_path: str | Path) -> tuple[Strategy | None, list[Mistake]]:
    page = Page()
    text = _text(name_or_path)
    root = page.root(text)
    strategy = None if root is None else strategy_in(root, page)
    return strategy, sorted(page.found)


def _text(name_or_path: str | Path) -> str:
    if not _is_path(name_or_path):
        if name_or_path not in shipped():
            raise ConfigError(
                f"There is no strategy {name_or_path!r}; the shipped ones are {', '.join(shipped())}, "
                "and one of your own is given by its path (./my.yaml)."
            )
        return (SHIPPED / f"{name_or_path}.yaml").read_text(encoding="utf-8")
    try:
        return Path(name_or_path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{name_or_path} is not UTF-8 text; save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"The strategy {name_or_path} cannot be read: {error.strerror}.") from None


def _is_path(name_or_path: str | Path) -> bool:
    text = str(name_or_path)
    return isinstance(name_or_path, Path) or "/" in text or text.endswith((".yaml", ".yml"))


def _more(number: int) -> str:
    more = "one more mistake" if number == 1 else f"{number} more mistakes"
    return f" It has {more}; `assay craft --check` tells all." if number else ""
