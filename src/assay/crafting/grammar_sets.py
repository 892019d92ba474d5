"""The sets that a strategy's file writes, and the turns of examples and of questions. Knows no files."""

from collections.abc import Mapping, Sequence
from typing import cast

from assay.crafting.grammar_checks import checks_in
from assay.crafting.pages import Node, Page
from assay.crafting.scope import Scope
from assay.crafting.strategy import Check, Role, TurnRole, TurnText, Written

SET = ("role", "as", "prompt", "completion", "messages", "checks")
ROLES = ("probe", "control", "query", "undesired")
TURN = ("system", "user", "assistant")
PARTS = ("prompt", "completion")

Keys = Mapping[str, Node]


def sets_in(root: Node, keys: Keys, name: str, page: Page, scope: Scope) -> tuple[Written, ...]:
    """The sets of `writes`, or one of the strategy's own name from `prompt` and `completion`."""
    if "writes" not in keys:
        turns = _pair(root, keys, "A strategy without `writes`", page, scope)
        return (Written(name, turns, checks=_checks(keys, page, scope)),)
    for key in ("prompt", "completion", "checks"):
        if key in keys:
            page.wrong(keys[key], f"With `writes`, `{key}` belongs to a set; move it below the set's name.")
    found = []
    for one, (at, value) in page.entries(keys["writes"], "`writes`").items():
        page.file_name(at, "The name of a set")
        found.append(_set(one, value, page, scope))
        _require_different(found, at, page)
    if found and all(one.role != "probe" for one in found):
        page.wrong(keys["writes"], "None of these sets is a probe; one has to be (`role: probe`).")
    return tuple(found)


def turns_in(node: Node, what: str, page: Page, scope: Scope, *, learn: bool) -> tuple[TurnText, ...]:
    """A list of turns, each `- user: …`, `- assistant: …` or, as the first, `- system: …`.

    With `learn` an assistant's turn may say `learn: false`.
    """
    turns: list[TurnText] = []
    for item in page.items(node, what):
        keys = page.mapping(item, "A turn", (*TURN, "learn") if learn else TURN)
        roles = [role for role in TURN if role in keys]
        if len(roles) != 1:
            page.wrong(item, "A turn is one of `- system: …`, `- user: …` and `- assistant: …`.")
            continue
        (role,) = roles
        if role == "system" and turns:
            page.wrong(item, "A system turn can only be the first.")
        text = page.text(keys[role], f"`{role}`")
        scope.look(text, keys[role])
        if "learn" in keys and role != "assistant":
            page.wrong(keys["learn"], "`learn` belongs to an assistant's turn; others are never learned.")
        learned = page.flag(keys["learn"], "`learn`") if "learn" in keys else True
        turns.append(TurnText(cast("TurnRole", role), text, learned))
    return tuple(turns)


def _set(name: str, node: Node, page: Page, scope: Scope) -> Written:
    keys = page.mapping(node, f"The set `{name}`", SET)
    if "messages" in keys:
        for key in PARTS:
            if key in keys:
                page.wrong(keys[key], f"The set `{name}` has `messages`; leave `{key}` out.")
        turns = turns_in(keys["messages"], "`messages`", page, scope, learn=True)
        if turns and (turns[-1].role != "assistant" or not turns[-1].learn):
            page.wrong(keys["messages"], "The last of `messages` has to be an assistant's that is learned.")
        elif all(turn.role != "user" for turn in turns[:-1]):
            page.wrong(keys["messages"], "`messages` needs a user's turn before the last.")
    else:
        turns = _pair(node, keys, f"The set `{name}`", page, scope) if keys else ()
    role = page.choice(keys["role"], "`role`", ROLES) if "role" in keys else "probe"
    called = page.text(keys["as"], "`as`") if "as" in keys else ""
    return Written(name, turns, cast("Role", role or "probe"), called, _checks(keys, page, scope))


def _pair(node: Node, keys: Keys, what: str, page: Page, scope: Scope) -> tuple[TurnText, ...]:
    """The user's turn and the assistant's that `prompt` and `completion` are."""
    roles: tuple[tuple[str, TurnRole, str], ...] = (
        ("prompt", "user", "query"),
        ("completion", "assistant", "response"),
    )
    turns = []
    for key, role, usual in roles:
        if key not in keys:
            page.wrong(node, f'{what} needs a `{key}`, as in `{key}: "{{{{ {usual} }}}}"`.')
            continue
        text = page.text(keys[key], f"`{key}`")
        scope.look(text, keys[key])
        turns.append(TurnText(role, text))
    return tuple(turns)


def _checks(keys: Keys, page: Page, scope: Scope) -> tuple[Check, ...]:
    return checks_in(keys["checks"], PARTS, page, scope) if "checks" in keys else ()


def _require_different(found: Sequence[Written], node: Node, page: Page) -> None:
    """In the study no probe or control is called like another, and no query set like another."""
    *earlier, last = found
    trained = ("probe", "control")
    if last.role == "control" and any(one.role == "control" for one in earlier):
        page.wrong(node, "A study has one control set; this is the second.")
    alike = [one for one in earlier if (one.role in trained) == (last.role in trained)]
    if any(one.study_name == last.study_name for one in alike):
        page.wrong(node, f"Two sets are called `{last.study_name}` in the study; tell them apart by `as`.")
