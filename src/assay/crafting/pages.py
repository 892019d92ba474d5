"""A YAML file read with its lines, and the mistakes found in it. Knows nothing of strategies."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from difflib import get_close_matches

import yaml

NULL = "tag:yaml.org,2002:null"
INT, FLOAT, BOOL = (f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool"))

FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

Node = yaml.Node


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """What is wrong in a strategy's file; `line` counts from 1."""

    line: int
    sentence: str


@dataclass(slots=True)
class Page:
    """Takes values out of nodes. What is not as it should be is noted, and something harmless returned."""

    found: list[Mistake] = field(default_factory=list)

    def wrong(self, where: Node | int, sentence: str) -> None:
        mistake = Mistake(where if isinstance(where, int) else line_of(where), sentence)
        if mistake not in self.found:
            self.found.append(mistake)

    def root(self, text: str) -> Node | None:
        """The file's one document, None where it is no YAML or empty."""
        try:
            node: Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            self._no_yaml(text, error)
            return None
        except RecursionError:
            self.wrong(1, "This is nested too deeply.")
            return None
        if node is None:
            self.wrong(1, "The file is empty.")
        return node

    def mapping(self, node: Node, what: str, known: Collection[str]) -> dict[str, Node]:
        """The values by key; unknown keys and keys given twice are mistakes."""
        if not isinstance(node, yaml.MappingNode):
            self.wrong(node, f"{what} has to be a list of `key: value` lines with {_one_of(known)}.")
            return {}
        values: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.wrong(key, f"A key has to be a word. {QUOTE}")
            elif key.value in values:
                self.wrong(key, f"`{key.value}` is there twice; leave one out.")
            elif key.value not in known:
                self.wrong(key, f"{what} has no `{key.value}`; {meant(key.value, known)}")
            else:
                values[key.value] = value
        return values

    def entries(self, node: Node, what: str) -> dict[str, tuple[Node, Node]]:
        """Key and value nodes by key, where any key may stand."""
        if not isinstance(node, yaml.MappingNode) or not node.value:
            self.wrong(node, f"{what} has to be a list of `name: …` lines.")
            return {}
        values: dict[str, tuple[Node, Node]] = {}
        for key, value in node.value:
            name = self.text(key, f"A name in {what}")
            if name in values:
                self.wrong(key, f"`{name}` is there twice; leave one out.")
            values[name] = (key, value)
        return values

    def items(self, node: Node, what: str) -> list[Node]:
        """The items of a list that is not empty."""
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            self.wrong(node, f"{what} has to be a list: [one, two], or lines that begin with a dash.")
            return []
        return list(node.value)

    def text(self, node: Node, what: str) -> str:
        """A text that is not empty, as it stands in the file (`yes` is a text, and so is 42)."""
        if not isinstance(node, yaml.ScalarNode):
            self.wrong(node, f"{what} has to be a text. {QUOTE if _braces(node) else ''}".strip())
            return ""
        if node.tag == NULL or not node.value.strip():
            self.wrong(node, f"{what} is empty; write a text.")
            return ""
        return str(node.value)

    def file_name(self, node: Node, what: str) -> str:
        """A name that a file is called by as well."""
        name = self.text(node, what)
        if name and not FILE_NAME.fullmatch(name):
            self.wrong(
                node, f"{what} is a file's too: it has letters, digits, - and _ alone, unlike `{name}`."
            )
        return name

    def texts(self, node: Node, what: str) -> list[str]:
        """A list of different texts."""
        found: list[str] = []
        for item in self.items(node, what):
            text = self.text(item, f"Each of {what}")
            if text in found:
                self.wrong(item, f"`{text}` is there twice in {what}; leave one out.")
            elif text:
                found.append(text)
        return found

    def choice(self, node: Node, what: str, known: Collection[str]) -> str | None:
        text = self.text(node, what)
        if text and text not in known:
            self.wrong(node, f"{what} cannot be `{text}`; {meant(text, known)}")
        return text if text in known else None

    def number(self, node: Node, what: str, least: float, most: float, *, whole: bool) -> float:
        """A number between two limits, both allowed; the least one where there is none."""
        kinds = (INT,) if whole else (INT, FLOAT)
        value = _number(node.value) if isinstance(node, yaml.ScalarNode) and node.tag in kinds else None
        if value is None or not least <= value <= most:
            between = f"from {least:,.6g} to {most:,.7g}" if most < float("inf") else f"of at least {least:g}"
            self.wrong(node, f"{what} has to be a {'whole ' * whole}number {between}.")
            return least
        return value

    def flag(self, node: Node, what: str) -> bool:
        if isinstance(node, yaml.ScalarNode) and node.tag == BOOL:
            return node.value.lower() in ("true", "yes", "on")
        self.wrong(node, f"{what} has to be true or false.")
        return True

    def _no_yaml(self, text: str, error: yaml.YAMLError) -> None:
        mark = getattr(error, "problem_mark", None)
        line = 1 if mark is None else min(mark.line + 1, max(1, len(text.splitlines())))
        words = (text.splitlines() or [""])[line - 1]
        if "quoted scalar" in (getattr(error, "context", None) or ""):
            opened = int(error.context_mark.line) + 1  # type: ignore[attr-defined]
            self.wrong(opened, "A quotation mark opens in this line and is not closed as YAML wants it.")
            return
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        if "\t" in words[: len(words) - len(words.lstrip())]:
            help_ = "Indent with spaces; YAML allows no tabs there."
        elif "{{" in words or "{%" in words:
            help_ = QUOTE
        elif "alias" in problem or "anchor" in problem:
            help_ = "Put quotation marks around a text that begins with * or &."
        elif ": " in words and "character" not in problem:
            help_ = "Put quotation marks around a text that holds a colon, or write it below a `|`."
        else:
            help_ = "Look at the indentation and the quotation marks of this line and of the one before."
        self.wrong(line, f"This is no YAML ({problem}). {help_}")


QUOTE = "Put quotation marks around a text that begins with {{, or write it on lines of its own below a `|`."


def line_of(node: Node) -> int:
    return int(node.start_mark.line) + 1


def template_line(node: Node, line: int, name: str | None = None) -> int:
    """The line in the file of a line in a text.

    A block's text begins below its `|`. In other texts YAML joins lines, so there it is the line in which
    `name` is found first.
    """
    if not isinstance(node, yaml.ScalarNode) or node.style == "|":
        return min(line_of(node) + line, int(node.end_mark.line) + 1)
    written = str(node.start_mark.buffer or "")[node.start_mark.pointer : node.end_mark.pointer]
    found = re.search(rf"\b{re.escape(name)}\b", written) if name else None
    return line_of(node) + (written[: found.start()].count("\n") if found else 0)


def meant(name: str, known: Collection[str]) -> str:
    """The end of a sentence: "did you mean `prompt`?", or what there is."""
    close = get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else f"there is {_one_of(known)}."


def _one_of(known: Collection[str]) -> str:
    names = [f"`{name}`" for name in known]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _braces(node: Node) -> bool:
    return isinstance(node, yaml.MappingNode) and bool(node.flow_style)


def _number(text: str) -> float | None:
    try:
        return float(yaml.safe_load(text))
    except (TypeError, ValueError, OverflowError, yaml.YAMLError):
        return None
