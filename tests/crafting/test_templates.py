import pytest

from assay.crafting.templates import BrokenTemplate, Columns, FillingError, Use, filled, holds, uses


def test_text_stays_as_it_is_but_for_the_last_line_break_of_the_template():
    assert filled("<b>{{ a }}</b>\n", {"a": "x & <y>\n"}) == "<b>x & <y>\n</b>"
    assert filled("{{ a }}\n", {"a": "x\n"}) == "x\n"
    assert filled("{% if a %}\n{{ a }}\n{% endif %}\nb", {"a": "x"}) == "x\nb"


def test_filled_in_text_is_not_filled_in_again():
    assert filled("{{ a }}", {"a": "{{ b }}{% if %}", "b": "x"}) == "{{ b }}{% if %}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ b }}", "'b' is not known"),
        ("{{ c.x }}", "the row has no column 'x'"),
        ("{{ c['x y'] }}", "the row has no column 'x y'"),
        ("{{ ''.__class__ }}", "unsafe"),
        ("{{ a.__init__.__globals__ }}", "unsafe"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ range(10 ** 9) | length }}", "too big"),
        ("{{ lipsum() }}", "'lipsum' is not known"),
    ],
)
def test_what_cannot_be_filled_in_is_a_clause(text, reason):
    with pytest.raises(FillingError, match=reason):
        filled(text, {"a": "x", "c": Columns(y="1")})


def test_a_column_may_be_called_like_a_method():
    assert filled("{{ c.items }}{{ c['keys'] }}", {"c": Columns(items="1", keys="2")}) == "12"


def test_an_expression_is_true_or_false_and_never_unknown():
    assert holds("a == 'x' and not b", {"a": "x", "b": ""})
    assert not holds("a == 'y'", {"a": "x"})
    with pytest.raises(FillingError, match="'c' is not known"):
        holds("c == 'y'", {})


def test_uses_are_names_that_a_template_does_not_set_with_lines_and_fields():
    text = "{{ a.b }}\n{% for x in c %}{{ x }}{% endfor %}\n{{ d['e'] }}{% set f = 1 %}{{ f }}"
    assert uses(text) == (Use("a", "b", 1), Use("c", None, 2), Use("d", "e", 3))
    assert uses("a.b == 'x'", expression=True) == (Use("a", "b", 1),)


@pytest.mark.parametrize(
    "text", ["{{ a", "{% if %}", "{{ a | nothing }}", "{% import 'a' as b %}", "{{ a b }}"]
)
def test_broken_templates_are_told(text):
    assert isinstance(uses(f"\n{text}"), BrokenTemplate)
    assert uses(f"\n{text}").line == 2
