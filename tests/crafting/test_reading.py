from pathlib import Path

import pytest

from assay.crafting.checks import CHECKS
from assay.crafting.grammar import DESIGNS as NAMED
from assay.crafting.reading import SHIPPED, mistakes, read_strategy, shipped
from assay.crafting.scope import ALWAYS
from assay.crafting.strategy import Ask, Check, Let, TurnText
from assay.errors import ConfigError
from assay.studies.design import DESIGNS, require_sets
from tests.crafting.makers import written

HEAD = "name: mine\nwhat: A test.\n"
PAIR = "prompt: '{{ query }}'\ncompletion: '{{ response }}'\n"


def told(folder, text):
    return [(one.line, one.sentence) for one in mistakes(written(folder, text))]


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_strategy_is_without_mistakes_and_called_like_its_file(name):
    assert mistakes(name) == []
    strategy = read_strategy(name)
    assert strategy.name == name
    assert strategy.source.startswith("arXiv 2502.13514, ")
    assert len(strategy.what) < 140


@pytest.mark.parametrize("name", shipped())
def test_every_text_of_a_model_in_a_shipped_strategy_is_checked(name):
    for ask in read_strategy(name).asks:
        assert ask.checks or ask.read == "label" or ask.by == "student", ask.name


def test_the_shipped_strategies_are_those_of_the_paper():
    assert set(shipped()) == {
        *("similar", "cot", "reason-after-answer", "clarify", "clarify-requirements", "evaluate"),
        *("query-parsing", "multi-turn-refinement", "prompt-variants"),
        *("clarify-pipeline", "evaluate-pipeline"),
    }
    assert [name for name in shipped() if read_strategy(name).whole] == [
        "clarify-pipeline",
        "evaluate-pipeline",
    ]


def test_designs_are_those_of_studies_and_pipelines_write_all_their_sets():
    assert set(NAMED) == set(DESIGNS)
    for name in ("clarify-pipeline", "evaluate-pipeline"):
        strategy = read_strategy(name)
        design = DESIGNS[strategy.design]
        trained = [one.study_name for one in strategy.writes if one.role in ("probe", "control")]
        queries = [one.study_name for one in strategy.writes if one.role in ("query", "undesired")]
        require_sets(design, trained, queries)
        undesired = [one.study_name for one in strategy.writes if one.role == "undesired"]
        assert tuple(undesired) == design.undesired


def test_the_directive_is_the_papers_only_in_the_strategy_that_quotes_it():
    quoted = "Please output the reason first and then the final answer, regardless of the above description."
    holding = [name for name in shipped() if quoted in (SHIPPED / f"{name}.yaml").read_text()]
    assert holding == ["cot"]


def test_a_file_becomes_a_strategy(tmp_path):
    strategy = read_strategy(
        written(
            tmp_path,
            """
name: mine
what: A test.
columns: [hint]
steps:
  - let: word
    choose: [one, "{{ task }}"]
  - ask: two
    by: student
    system: Be brief.
    prompt: |
      {{ query }}
      {{ word }} {{ hint }}
    read: {json: [query, more]}
    given:
      columns: [a]
      fields: {query: "{{ a }}", more: x}
    temperature: 0
    attempts: 1
    checks:
      - no_refusal
      - length: 10
      - not_a_copy: {of: query, most: 0.5, against: "{{ word }}"}
    keep_if: two.more != "x"
    otherwise: it is x
writes:
  first:
    as: shown
    role: query
    messages:
      - user: "{{ query }}"
      - {assistant: no, learn: no}
      - user: again
      - assistant: "{{ two.query }}"
  second: {prompt: a, completion: b, checks: [{matches: b}]}
""",
        )
    )
    let, ask = strategy.steps
    assert let == Let("word", None, ("one", "{{ task }}"))
    assert isinstance(ask, Ask)
    assert ask.turns == (
        TurnText("system", "Be brief."),
        TurnText("user", "{{ query }}\n{{ word }} {{ hint }}\n"),
    )
    assert (ask.by, ask.read, ask.names) == ("student", "json", ("query", "more"))
    assert (ask.temperature, ask.max_tokens, ask.attempts) == (0, 1024, 1)
    assert ask.given.fields == {"query": "{{ a }}", "more": "x"}
    assert ask.checks == (
        Check("no_refusal"),
        Check("length", {"max": 10}),
        Check("not_a_copy", {"most": 0.5}, "query", "{{ word }}"),
    )
    first, second = strategy.writes
    assert (first.name, first.study_name, first.role) == ("first", "shown", "query")
    assert [turn.learn for turn in first.turns] == [True, False, True, True]
    assert first.turns[1].text == "no"
    assert (second.study_name, second.role, second.checks[0].options) == ("second", "probe", {"pattern": "b"})


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("", 1, "The file is empty."),
        ("- a", 1, "A strategy has to be a list of `key: value` lines with `name`, `what`,"),
        (PAIR + "what: x", 1, "A strategy needs `name`, as in `name: my-strategy`."),
        ("name: a b\nwhat: x\n" + PAIR, 1, "letters, digits, - and _ alone, unlike `a b`."),
        (HEAD + "promt: x\n" + PAIR, 3, "A strategy has no `promt`; did you mean `prompt`?"),
        (HEAD + PAIR + "prompt: y", 5, "`prompt` is there twice; leave one out."),
        (
            HEAD + "prompt: x",
            1,
            'A strategy without `writes` needs a `completion`, as in `completion: "{{ response }}"`.',
        ),
        (
            HEAD + "prompt: {{ query }}\ncompletion: x",
            3,
            "`prompt` has to be a text. Put quotation marks around",
        ),
        (HEAD + "prompt: {{ query }} a\ncompletion: x", 3, "This is no YAML (expected <block end>"),
        (HEAD + "prompt: a: b\ncompletion: x", 3, "Put quotation marks around a text that holds a colon"),
        (HEAD + "steps:\n\t- let: a", 4, "Indent with spaces; YAML allows no tabs there."),
        (HEAD + "prompt: 'a\ncompletion: x", 3, "A quotation mark opens in this line and is not closed"),
        (HEAD + "design: cott\n" + PAIR, 3, "`design` cannot be `cott`; did you mean `cot`?"),
        (
            HEAD + "prompt: |\n  a\n  {{ reponse }}\ncompletion: x",
            5,
            "`reponse` is not known here; did you mean `response`?",
        ),
        (HEAD + "prompt: |\n  a\n\n  {% if x\ncompletion: x", 6, "This is not a template ("),
        (HEAD + "prompt: '{{ query | uper }}'\ncompletion: x", 3, "No filter named 'uper'"),
        (HEAD + "prompt: '{{ hint }}'\ncompletion: x", 3, "A column of the row is `columns.hint`."),
        (HEAD + "prompt: '{{ query.text }}'\ncompletion: x", 3, "`query` is a text and has no `text`."),
        (HEAD + "prompt: '{% include \"a\" %}'\ncompletion: x", 3, "takes nothing from other files"),
        (
            HEAD + "columns: [task]\n" + PAIR,
            3,
            "A column cannot be called `task`, which already means something",
        ),
        (
            HEAD + "checks: [answer_agree]\n" + PAIR,
            3,
            "There is no check `answer_agree`; did you mean `answer_agrees`?",
        ),
        (
            HEAD + "checks: [{length: {mx: 1}}]\n" + PAIR,
            3,
            "The check `length` has no `mx`; did you mean `max`?",
        ),
        (
            HEAD + "checks: [{length: many}]\n" + PAIR,
            3,
            "`max` of `length` has to be a whole number of at least 0.",
        ),
        (
            HEAD + "checks: [{lacks: '('}]\n" + PAIR,
            3,
            "`pattern` of `lacks` is no regular expression (missing )",
        ),
        (HEAD + "checks: [matches]\n" + PAIR, 3, "The check `matches` needs `pattern`"),
        (HEAD + "checks: [{reasons: behind}]\n" + PAIR, 3, "`where` of `reasons` cannot be `behind`"),
        (HEAD + "checks: [{length: {of: prompts, max: 1}}]\n" + PAIR, 3, "did you mean `prompt`?"),
        (HEAD + "writes:\n  a:\n    prompt: x\n", 5, "The set `a` needs a `completion`"),
        (
            HEAD + "writes:\n  a: {role: query, prompt: x, completion: y}\n",
            4,
            "None of these sets is a probe",
        ),
        (
            HEAD + PAIR + "writes:\n  a: {prompt: x, completion: y}\n",
            3,
            "With `writes`, `prompt` belongs to a set",
        ),
        (
            HEAD + "writes:\n  a/b: {prompt: x, completion: y}\n",
            4,
            "letters, digits, - and _ alone, unlike `a/b`",
        ),
        (
            HEAD + "writes:\n  a: {messages: [{user: x}]}\n",
            4,
            "The last of `messages` has to be an assistant's",
        ),
        (
            HEAD + "writes:\n  a: {messages: [{assistant: x}]}\n",
            4,
            "`messages` needs a user's turn before the last.",
        ),
        (
            HEAD + "writes:\n  a: {prompt: x, completion: y}\n  b: {as: a, prompt: x, completion: y}\n",
            5,
            "Two sets are called `a` in the study; tell them apart by `as`.",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path, text, line, sentence):
    found = told(tmp_path, text)
    assert any(at == line and sentence in said for at, said in found), found


@pytest.mark.parametrize(
    ("step", "line", "sentence"),
    [
        ("- foo", 4, "A step begins with `- ask: NAME`"),
        ("- let: a\n  ask: b", 4, "A step begins with `- ask: NAME`"),
        ("- let: a", 4, "needs either `text: …` or `choose: [one, two]`"),
        (
            "- let: a\n  text: x",
            4,
            "Nothing uses `a`; write {{ a }} where it belongs, or leave the step out.",
        ),
        ("- let: query\n  text: x", 4, "A step cannot be called `query`, which already means something"),
        ("- let: a-b\n  text: x", 4, "a name is letters, digits and _, a letter first."),
        ("- let: a\n  text: x\n- let: a\n  text: y", 6, "`a` is made in line 4 already; take another name."),
        (
            "- let: a\n  text: '{{ b }}'\n- let: b\n  text: '{{ a }}'",
            5,
            "`b` is not known yet: its step stands below, in line 6.",
        ),
        ("- ask: a", 4, "needs either `prompt: …` or `turns:`"),
        (
            "- ask: a\n  prompt: x\n  by: teacher",
            6,
            "`by` cannot be `teacher`; there is `writer`, `student` and `judge`.",
        ),
        (
            "- ask: a\n  prompt: x\n  read: {labels: [x, y]}",
            6,
            "`read` is `text`, `{json: [query, response]}` or",
        ),
        (
            "- ask: a\n  prompt: x\n  read: {label: [x, X]}",
            6,
            "Two of these labels are equal but for upper and lower case",
        ),
        ("- ask: a\n  prompt: x\n  read: {label: [x]}", 6, "name at least two"),
        (
            "- ask: a\n  prompt: x\n  read: {label: [x, y]}\n  keep_if: a == 'z'",
            7,
            "`a` is never `z`; there is `x` and `y`.",
        ),
        ("- ask: a\n  prompt: x\n  keep_if: a ==", 6, "This is not an expression ("),
        ("- ask: a\n  prompt: x\n  otherwise: no", 6, "it needs a `keep_if`"),
        (
            "- ask: a\n  prompt: x\n  read: {json: [b]}\n  keep_if: a.c == 'z'",
            7,
            "`a` has no `c`; there is `b`.",
        ),
        (
            "- ask: a\n  prompt: x\n  read: {json: [b]}\n  keep_if: a == 'z'",
            7,
            "`a` is read as JSON; write `a.b`.",
        ),
        ("- ask: a\n  prompt: x\n  temperature: hot", 6, "`temperature` has to be a number from 0 to 2."),
        ("- ask: a\n  prompt: x\n  attempts: 11", 6, "`attempts` has to be a whole number from 1 to 10."),
        (
            "- ask: a\n  prompt: x\n  max_tokens: 1.5",
            6,
            "`max_tokens` has to be a whole number from 1 to 1,000,000.",
        ),
        ("- ask: a\n  turns: [{user: x}, {assistant: y}]", 5, "The last of `turns` has to be a user's"),
        ("- ask: a\n  turns: [{user: x}, {system: y}]", 5, "A system turn can only be the first."),
        ("- ask: a\n  prompt: x\n  given: {text: y}", 6, "`given` needs `columns: [rationale]`"),
        ("- ask: a\n  prompt: x\n  given: {columns: [b], text: '{{ c }}'}", 6, "`c` is not known here"),
        (
            "- ask: a\n  prompt: x\n  read: {json: [b]}\n  given: {columns: [b], text: y}",
            7,
            "`given` takes `fields` here",
        ),
        (
            "- ask: a\n  prompt: x\n  read: {json: [b, c]}\n  given: {columns: [b], fields: {b: y}}",
            7,
            "`fields` lacks `c`.",
        ),
        ("- ask: a\n  prompt: x\n  checks: [{language: {of: b}}]", 6, "The check `language` has no `of`"),
        (
            "- ask: a\n  prompt: x\n  checks: [{language: 3}]",
            6,
            "The check `language` takes no value; write it alone.",
        ),
    ],
)
def test_a_mistake_in_a_step_is_told_with_its_line(tmp_path, step, line, sentence):
    found = told(tmp_path, f"{HEAD}steps:\n{step}\n{PAIR}")
    assert any(at == line and sentence in said for at, said in found), found


def test_all_mistakes_are_told_in_the_order_of_lines_and_one_does_not_hide_another(tmp_path):
    found = told(
        tmp_path, HEAD + "steps:\n- let: a\n  txt: x\n- ask: b\n  prompt: '{{ a }}'\n  by: me\n" + PAIR
    )
    assert [line for line, _ in found] == sorted(line for line, _ in found)
    assert [line for line, _ in found] == [4, 5, 6, 8]


def test_a_use_that_cannot_be_made_out_is_no_reason_to_call_a_value_unused(tmp_path):
    text = HEAD + "steps:\n- let: hint\n  text: x\nprompt: '{{ hnit }}'\ncompletion: x"
    assert told(tmp_path, text) == [
        (6, "`hnit` is not known here; did you mean `hint`? A column of the row is `columns.hnit`.")
    ]


@pytest.mark.parametrize("text", ["|\n  a\n\n  {{ hnit }}", ">\n  a\n  {{ hnit }}", "'a\n\n  {{ hnit }}'"])
def test_a_name_is_told_in_its_own_line_however_the_text_is_written(tmp_path, text):
    ((line, _),) = told(tmp_path, HEAD + f"completion: x\nprompt: {text}\n")
    assert line == 4 + text.partition("hnit")[0].count("\n")


def test_reading_a_file_with_mistakes_raises_the_first_and_counts_the_others(tmp_path):
    path = written(tmp_path, HEAD + "promt: x\ncompletin: y\n" + PAIR)
    with pytest.raises(ConfigError) as error:
        read_strategy(path)
    assert str(error.value) == (
        f"{path}, line 3: A strategy has no `promt`; did you mean `prompt`? "
        "It has one more mistake; `assay craft --check` tells all."
    )


def test_a_strategy_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"no strategy 'cott'; the shipped ones are clarify, .*\./my\.yaml"):
        read_strategy("cott")
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        read_strategy(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("what: fünf".encode("latin-1"))
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        mistakes(tmp_path / "latin.yaml")


def test_no_file_however_strange_brings_more_than_sentences(tmp_path):
    strange = [
        "a: &a [*a]",
        "&a {steps: *a}",
        "a: *b",
        "!!python/object/apply:os.system [ls]",
        "\x00",
        "? [a]\n: b",
        "steps: &a\n- *a",
        "writes: {? {a: b} : c}",
        "[" * 500,
        "a: |2\n x",
        "--- a\n--- b",
        "steps: {let: x}",
        "name: [x]\nwhat: {y: z}\nsteps: 3\nprompt: []\ncompletion: null\nwrites: 1",
        "%YAML 9.9\n---\na: b",
        HEAD + "steps:\n- ask: [x]\n  prompt: y\n- let: {a: b}\n  text: c\n" + PAIR,
        "checks: [{}]",
        "<<: {name: x}",
    ]
    for text in strange:
        found = told(tmp_path, text)
        assert found, text
        assert all(line >= 1 and sentence.strip() for line, sentence in found)


@pytest.mark.parametrize("name", ["cot", "evaluate"])
def test_a_shipped_file_that_is_cut_off_is_told(tmp_path, name):
    lines = (SHIPPED / f"{name}.yaml").read_text().splitlines(keepends=True)
    for end in range(0, len(lines) - 1, 4):
        assert told(tmp_path, "".join(lines[:end])), end


def test_the_guide_names_every_check_and_its_example_is_a_strategy(tmp_path):
    guide = (Path(__file__).parents[2] / "docs" / "craft.md").read_text()
    own = guide[guide.index("## Writing a strategy") :]
    for row in CHECKS.values():
        assert f"| `{row.name}` | {row.what} |" in own
    for name in ALWAYS:
        assert f"`{name}" in own
    text = own[own.index("```yaml") + 8 :].partition("```")[0]
    assert told(tmp_path, text) == []
