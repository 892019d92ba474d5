"""The keys of a strategy's file and of its steps, and what is wrong with them. Knows no files."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import cast

import yaml

from assay.asking.request import By
from assay.crafting.grammar_checks import checks_in
from assay.crafting.grammar_sets import sets_in, turns_in
from assay.crafting.pages import Node, Page, line_of
from assay.crafting.scope import KEPT, Scope
from assay.crafting.strategy import Ask, Given, Let, ReadAs, Strategy, TurnRole, TurnText

TOP = ("name", "what", "source", "design", "columns", "steps", "prompt", "completion", "checks", "writes")
LET = ("let", "text", "choose")
ASK = (
    *("ask", "by", "given", "system", "prompt", "turns", "read", "temperature", "max_tokens", "attempts"),
    *("checks", "keep_if", "otherwise"),
)
BY = ("writer", "student", "judge")
DESIGNS = ("cot", "clarify", "evaluation")
MOST_ATTEMPTS = 10
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

Keys = Mapping[str, Node]


def strategy_in(root: Node, page: Page) -> Strategy:
    """The strategy of a file; where `page` has found mistakes it holds harmless values instead."""
    keys = page.mapping(root, "A strategy", TOP)
    if not keys:
        return Strategy("", "", (), ())
    for key, example in (("name", "name: my-strategy"), ("what", "what: What it does, in one sentence.")):
        if key not in keys:
            page.wrong(root, f"A strategy needs `{key}`, as in `{example}`.")
    name = page.file_name(keys["name"], "The name of a strategy") if "name" in keys else ""
    columns = tuple(page.texts(keys["columns"], "`columns`")) if "columns" in keys else ()
    for column in columns:
        _require_name(column, keys["columns"], "A column", page)
    steps = page.items(keys["steps"], "`steps`") if "steps" in keys else []
    scope = Scope(page, _ahead(steps), columns)
    made = tuple(step for step in (_step(node, page, scope) for node in steps) if step is not None)
    writes = sets_in(root, keys, name, page, scope)
    scope.unused()
    return Strategy(
        name,
        _text(keys, "what", page) or "",
        made,
        writes,
        _text(keys, "source", page),
        page.choice(keys["design"], "`design`", DESIGNS) if "design" in keys else None,
        columns,
    )


def _step(node: Node, page: Page, scope: Scope) -> Let | Ask | None:
    kinds = {key.value for key, _ in node.value} if isinstance(node, yaml.MappingNode) else set()
    if len(kinds & {"let", "ask"}) != 1:
        page.wrong(
            node,
            "A step begins with `- ask: NAME` (a model is asked) or `- let: NAME` (a value is set).",
        )
        return None
    return _let(node, page, scope) if "let" in kinds else _ask(node, page, scope)


def _let(node: Node, page: Page, scope: Scope) -> Let:
    keys = page.mapping(node, "A `let` step", LET)
    if ("text" in keys) == ("choose" in keys):
        page.wrong(node, "A `let` step needs either `text: …` or `choose: [one, two]`.")
    text = _text(keys, "text", page)
    if text:
        scope.look(text, keys["text"])
    choose = tuple(page.texts(keys["choose"], "`choose`")) if "choose" in keys else ()
    for one in choose:
        scope.look(one, keys["choose"])
    name = _new_name(keys["let"], page, scope)
    scope.add(name, keys["let"])
    return Let(name, text, choose)


def _ask(node: Node, page: Page, scope: Scope) -> Ask:
    keys = page.mapping(node, "An `ask` step", ASK)
    name = _new_name(keys["ask"], page, scope)
    read, names = _read(keys["read"], page) if "read" in keys else ("text", ())
    given = _given(keys["given"], read, names, page, scope) if "given" in keys else None
    turns = _asked(node, keys, page, scope)
    fields = names if read == "json" else ()
    scope.add(name, keys["ask"], fields, names if read == "label" else ())
    checks = checks_in(keys["checks"], fields, page, scope) if "checks" in keys else ()
    keep_if = _text(keys, "keep_if", page)
    if keep_if:
        scope.look(keep_if, keys["keep_if"], expression=True)
    otherwise = _text(keys, "otherwise", page)
    if otherwise and "keep_if" not in keys:
        page.wrong(keys["otherwise"], "`otherwise` says why a reference is left out; it needs a `keep_if`.")
    by = page.choice(keys["by"], "`by`", BY) if "by" in keys else None
    return Ask(
        name,
        turns,
        by=cast("By", by or "writer"),
        given=given,
        read=read,
        names=names,
        temperature=_number(keys, "temperature", 0, 2, 0.7, page, whole=False),
        max_tokens=int(_number(keys, "max_tokens", 1, 1_000_000, 1024, page)),
        attempts=int(_number(keys, "attempts", 1, MOST_ATTEMPTS, 3, page)),
        checks=checks,
        keep_if=keep_if,
        otherwise=otherwise,
    )


def _asked(node: Node, keys: Keys, page: Page, scope: Scope) -> tuple[TurnText, ...]:
    """What a model is shown: `prompt`, with `system` before it, or `turns`."""
    if ("prompt" in keys) == ("turns" in keys):
        page.wrong(node, "An `ask` step needs either `prompt: …` or `turns:` with a list of turns.")
    if "turns" in keys:
        if "system" in keys:
            page.wrong(keys["system"], "Beside `turns` the system's words are a turn: `- system: …`.")
        turns = turns_in(keys["turns"], "`turns`", page, scope, learn=False)
        if turns and turns[-1].role != "user":
            page.wrong(keys["turns"], "The last of `turns` has to be a user's, for a model to answer it.")
        return turns
    roles: tuple[tuple[str, TurnRole], ...] = (("system", "system"), ("prompt", "user"))
    found = []
    for key, role in roles:
        text = _text(keys, key, page)
        if text:
            scope.look(text, keys[key])
            found.append(TurnText(role, text))
    return tuple(found)


def _read(node: Node, page: Page) -> tuple[ReadAs, tuple[str, ...]]:
    if isinstance(node, yaml.ScalarNode) and node.value == "text":
        return "text", ()
    kinds = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    if len(kinds) != 1 or kinds[0] not in ("json", "label"):
        page.wrong(node, "`read` is `text`, `{json: [query, response]}` or `{label: [good, bad]}`.")
        return "text", ()
    (kind,) = kinds
    value = node.value[0][1]
    names = tuple(page.texts(value, f"`{kind}`"))
    if kind == "json":
        for name in names:
            _require_name(name, value, "A field", page, kept=())
    elif len({name.casefold() for name in names}) < len(names):
        page.wrong(value, "Two of these labels are equal but for upper and lower case; leave one out.")
    if kind == "label" and len(names) == 1:
        page.wrong(value, "One label alone says nothing; name at least two.")
    return cast("ReadAs", kind), names


def _given(node: Node, read: ReadAs, names: Sequence[str], page: Page, scope: Scope) -> Given:
    """What stands in for a reply: a text, or a template for each field of a value that is read as JSON."""
    keys = page.mapping(node, "`given`", ("columns", "text", "fields"))
    if keys and "columns" not in keys:
        page.wrong(node, "`given` needs `columns: [rationale]`, the columns that it is made from.")
    columns = tuple(page.texts(keys["columns"], "`columns`")) if "columns" in keys else ()
    wanted, other = ("fields", "text") if read == "json" else ("text", "fields")
    if keys and wanted not in keys:
        said = "fields: {query: …}" if wanted == "fields" else "text: …"
        page.wrong(node, f"`given` needs `{said}`, what stands in for the reply.")
    if other in keys:
        page.wrong(keys[other], f"`given` takes `{wanted}` here, since the reply is read as {read}.")
    text = _text(keys, "text", page)
    if text:
        scope.look(text, keys["text"], cells=columns)
    fields = {}
    for name, (key, value) in page.entries(keys["fields"], "`fields`").items() if "fields" in keys else ():
        if read == "json" and name not in names:
            page.wrong(key, f"`read` names no field `{name}`.")
        fields[name] = page.text(value, f"`{name}`")
        scope.look(fields[name], value, cells=columns)
    missing = [name for name in names if name not in fields] if read == "json" and "fields" in keys else []
    if missing:
        page.wrong(keys["fields"], f"`fields` lacks `{missing[0]}`.")
    return Given(columns, text, fields)


def _new_name(node: Node, page: Page, scope: Scope) -> str:
    name = page.text(node, "The name of a step")
    _require_name(name, node, "A step", page)
    if name in scope.made:
        page.wrong(node, f"`{name}` is made in line {scope.made[name].line} already; take another name.")
    return name


def _require_name(name: str, node: Node, what: str, page: Page, kept: Collection[str] = KEPT) -> None:
    if name in kept:
        page.wrong(
            node, f"{what} cannot be called `{name}`, which already means something; take another name."
        )
    elif name and not NAME.fullmatch(name):
        page.wrong(
            node,
            f"{what} cannot be called `{name}`: a name is letters, digits and _, a letter first.",
        )


def _ahead(steps: Sequence[Node]) -> dict[str, int]:
    """Lines of the names that steps make."""
    found: dict[str, int] = {}
    for node in steps:
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.value in ("let", "ask") and isinstance(value, yaml.ScalarNode):
                found.setdefault(value.value, line_of(value))
    return found


def _text(keys: Keys, name: str, page: Page) -> str | None:
    return page.text(keys[name], f"`{name}`") if name in keys else None


def _number(
    keys: Keys, name: str, least: float, most: float, default: float, page: Page, *, whole: bool = True
) -> float:
    return page.number(keys[name], f"`{name}`", least, most, whole=whole) if name in keys else default
