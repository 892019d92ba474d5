"""The checks that a strategy's file names, with their options. Knows no files."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from assay.crafting.checks import CHECKS, CheckRow
from assay.crafting.pages import Node, Page, meant
from assay.crafting.scope import Scope
from assay.crafting.strategy import Check


def checks_in(node: Node, parts: Sequence[str], page: Page, scope: Scope) -> tuple[Check, ...]:
    """A list of checks: `name`, `{name: value}` or `{name: {option: value}}`.

    `parts` are what `of` may name: the fields of a value, or the prompt and the completion of a set.
    """
    found = (_check(item, parts, page, scope) for item in page.items(node, "`checks`"))
    return tuple(check for check in found if check is not None)


def _check(node: Node, parts: Sequence[str], page: Page, scope: Scope) -> Check | None:
    if isinstance(node, yaml.MappingNode) and len(node.value) == 1:
        key, value = node.value[0]
    elif isinstance(node, yaml.ScalarNode):
        key, value = node, None
    else:
        page.wrong(node, "A check is a name, or a name with options: `{length: {max: 4000}}`.")
        return None
    name = page.text(key, "The name of a check")
    row = CHECKS.get(name)
    if row is None:
        if name:
            page.wrong(key, f"There is no check `{name}`; {meant(name, CHECKS)}")
        return None
    if isinstance(value, yaml.ScalarNode):
        return _short(row, value, page)
    keys = {} if value is None else _keys(row, value, parts, page)
    for option in row.needed:
        if option not in keys:
            page.wrong(key, f"The check `{name}` needs `{option}`, as in `{name}: {{{option}: …}}`.")
    options = {option: _value(row, option, keys[option], page) for option in row.options if option in keys}
    of = page.choice(keys["of"], "`of`", parts) if "of" in keys and parts else None
    against = page.text(keys["against"], "`against`") if "against" in keys else None
    if against:
        scope.look(against, keys["against"])
    return Check(name, options, of, against)


def _short(row: CheckRow, node: Node, page: Page) -> Check:
    """The form `{length: 4000}`, which gives the main option."""
    if row.main is None:
        page.wrong(node, f"The check `{row.name}` takes no value; write it alone.")
        return Check(row.name)
    return Check(row.name, {row.main: _value(row, row.main, node, page)})


def _keys(row: CheckRow, node: Node, parts: Sequence[str], page: Page) -> Mapping[str, Node]:
    known = [*row.options, *(["of"] if parts else []), *(["against"] if row.compares else [])]
    if not known:
        page.wrong(node, f"The check `{row.name}` has no options; write it alone.")
        return {}
    return page.mapping(node, f"The check `{row.name}`", known)


def _value(row: CheckRow, option: str, node: Node, page: Page) -> Any:
    kind = row.options[option]
    what = f"`{option}` of `{row.name}`"
    if isinstance(kind, tuple):
        return page.choice(node, what, kind) or kind[0]
    if kind is int:
        return int(page.number(node, what, 0, float("inf"), whole=True))
    if kind is float:
        return page.number(node, what, 0, float("inf"), whole=False)
    text = page.text(node, what)
    try:
        re.compile(text, re.MULTILINE)
    except re.error as error:
        page.wrong(node, f"{what} is no regular expression ({error.msg}).")
    return text
