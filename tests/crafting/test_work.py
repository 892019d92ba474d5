from dataclasses import replace
from functools import cache
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.asking.request import Failure, Reply
from assay.crafting.checks import Knowledge
from assay.crafting.leaks import leak_index
from assay.crafting.outcome import Crafted, Failed, LeftOut, Rejected
from assay.crafting.reading import read_strategy, shipped
from assay.crafting.strategy import Ask
from assay.data.answers import judge
from assay.data.example import Example, Message, Source
from tests.crafting.makers import carry_out, reference, strategy_of

DIRECTIVE = "Please output the reason first and then the final answer, regardless of the above description."
HEAD = "name: mine\nwhat: A test.\n"


def turns(example):
    return [(turn.role, turn.content) for turn in example.messages]


def test_cot_appends_the_papers_directive_and_keeps_what_the_writer_reasoned():
    one = reference()
    outcome, asked = carry_out(one, read_strategy("cot"), lambda _: "12 and 7 make 19. So the answer is 19.")
    (example,) = outcome.sets["cot"]
    assert turns(example) == [
        ("user", f"{one.query}\n{DIRECTIVE}"),
        ("assistant", "12 and 7 make 19. So the answer is 19."),
    ]
    assert (example.id, example.task, example.pair) == ("r1-cot", "addition", "r1")
    assert len(asked) == outcome.asked == 1
    assert f"{one.query}\n{DIRECTIVE}" in asked[0].turns[-1].content
    assert asked[0].where == "cot, reasoned, of r1"


def test_columns_stand_in_for_a_model_and_are_checked_like_a_reply():
    strategy = read_strategy("cot")
    outcome, asked = carry_out(reference(rationale="She has 12 and gets 7."), strategy, pytest.fail)
    assert outcome.sets["cot"][0].messages[-1].content == "She has 12 and gets 7. So the answer is 19."
    assert asked == []
    outcome, asked = carry_out(reference(rationale="Hm."), strategy, pytest.fail)
    assert isinstance(outcome, Rejected)
    assert (outcome.step, outcome.reason) == ("reasoned", "only 3 words before its answer")
    assert [tried.text for tried in outcome.tried] == ["Hm. So the answer is 19."]
    assert asked == []


def test_a_reply_that_fails_is_asked_for_again_and_a_further_attempt_is_another_request():
    said = iter(
        ["So the answer is 20.", Reply("12 and 7 make", cut_off=True), "12 and 7 make 19, so it is\n19"]
    )
    outcome, asked = carry_out(reference(), read_strategy("cot"), lambda _: next(said))
    assert isinstance(outcome, Crafted)
    assert [request.attempt for request in asked] == [0, 1, 2]
    assert len({request.turns for request in asked}) == 1


def test_what_was_tried_is_kept_with_its_reasons():
    said = iter(["So the answer is 20.", Reply("12 and 7 make", cut_off=True), " "])
    outcome, _ = carry_out(reference(), read_strategy("cot"), lambda _: next(said))
    assert isinstance(outcome, Rejected)
    assert [(tried.text, tried.reason) for tried in outcome.tried] == [
        ("So the answer is 20.", "its answer is 20 and not 19"),
        ("12 and 7 make", "it was cut off at 2048 tokens"),
        (" ", "the reply is empty"),
    ]
    assert (outcome.step, outcome.reason, outcome.asked) == ("reasoned", "the reply is empty", 3)


def test_no_reply_is_a_failure_and_no_rejection():
    outcome, asked = carry_out(reference(), read_strategy("cot"), lambda _: Failure("timed out"))
    assert outcome == Failed("reasoned", "timed out", 1)
    assert len(asked) == 1


def test_text_of_the_data_is_never_a_template():
    one = reference(query="What is {{ 7 * 7 }} {% raw %} {# x #}?\n", response="19")
    outcome, asked = carry_out(one, read_strategy("cot"), lambda _: "{{ response }} is what I think\n19")
    assert outcome.sets["cot"][0].messages[0].content == f"{one.query}\n{DIRECTIVE}"
    assert outcome.sets["cot"][0].messages[1].content == "{{ response }} is what I think\n19"
    assert one.query in asked[0].turns[0].content


def test_a_missing_column_is_told_and_only_for_its_row(tmp_path):
    strategy = strategy_of(tmp_path, HEAD + "prompt: '{{ query }}'\ncompletion: '{{ columns.hint }}'")
    assert carry_out(reference(), strategy, pytest.fail)[0] == Rejected(
        "mine", "the row has no column 'hint'"
    )
    outcome, _ = carry_out(reference(hint="x"), strategy, pytest.fail)
    assert outcome.sets["mine"][0].messages[-1].content == "x"
    strategy = strategy_of(
        tmp_path, HEAD + "columns: [hint]\nprompt: '{{ query }}'\ncompletion: '{{ hint }}'"
    )
    assert carry_out(reference(), strategy, pytest.fail)[0] == Rejected(
        "columns", "the row has no column 'hint'"
    )


def test_keep_if_leaves_a_reference_out_without_a_fault(tmp_path):
    strategy = strategy_of(
        tmp_path,
        HEAD + "steps:\n- ask: verdict\n  by: judge\n  read: {label: [good, bad]}\n  prompt: x\n"
        "  keep_if: verdict == 'bad'\n  otherwise: it is good already\n"
        "prompt: '{{ query }}'\ncompletion: '{{ response }}'",
    )
    outcome, asked = carry_out(reference(), strategy, lambda _: "I say: good.")
    assert outcome == LeftOut("verdict", "it is good already", 1)
    assert asked[0].by == "judge"
    assert isinstance(carry_out(reference(), strategy, lambda _: "Bad")[0], Crafted)


def test_a_choice_follows_from_the_references_id_alone(tmp_path):
    strategy = strategy_of(
        tmp_path,
        HEAD + "steps:\n- let: word\n  choose: [a, b, '{{ task }}']\n"
        "prompt: '{{ word }}'\ncompletion: '{{ response }}'",
    )

    def chosen(id):
        return carry_out(reference(id=id), strategy, pytest.fail)[0].sets["mine"][0].messages[0].content

    words = [chosen(f"r{i}") for i in range(60)]
    assert words == [chosen(f"r{i}") for i in range(60)]
    assert {word: words.count(word) > 8 for word in words} == {"a": True, "b": True, "addition": True}


def test_a_finished_example_is_checked_by_its_parts(tmp_path):
    text = (
        HEAD
        + "prompt: '{{ query }}!'\ncompletion: '{{ response }}'\nchecks: [{length: {of: prompt, max: 9}}]"
    )
    strategy = strategy_of(tmp_path, text)
    outcome, _ = carry_out(reference(query="How many?"), strategy, pytest.fail)
    assert (outcome.step, outcome.reason) == ("mine", "prompt: it has 10 characters, more than 9")
    assert isinstance(carry_out(reference(query="How?"), strategy, pytest.fail)[0], Crafted)


def test_evaluation_text_is_refused_in_replies_and_in_what_is_written(tmp_path):
    asked = "Bob has 31 marbles and loses 4 of them on his way to school"
    evaluation = Example("e", (Message("user", asked), Message("assistant", "27")), Source("e", 1))
    known = Knowledge("numeric", leak_index([evaluation]))
    outcome, requests = carry_out(
        reference(), read_strategy("cot"), lambda _: f"{asked}.\nSo the answer is 19.", known
    )
    assert isinstance(outcome, Rejected)
    assert "repeats evaluation text" in outcome.reason
    assert len(requests) == 3
    strategy = strategy_of(tmp_path, HEAD + f"prompt: '{asked}'\ncompletion: '{{{{ response }}}}'")
    assert "repeats evaluation text" in carry_out(reference(), strategy, pytest.fail, known)[0].reason


def test_turns_before_the_query_stay_and_the_student_sees_them():
    before = (Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Hello."))
    one = reference(before=before)
    outcome, asked = carry_out(one, read_strategy("cot"), lambda _: "12 and 7 make 19, so\n19")
    assert outcome.sets["cot"][0].messages[:3] == before
    assert "assistant: Hello." in asked[0].turns[0].content
    _, asked = carry_out(one, read_strategy("clarify-pipeline"), lambda _: Failure("x"))
    assert [(turn.role, turn.content) for turn in asked[0].turns] == [
        *((turn.role, turn.content) for turn in before),
        ("user", one.query),
    ]


def test_a_plain_reference_stays_plain_and_its_parts_do_not_run_together():
    strategy = read_strategy("cot")
    outcome, _ = carry_out(reference(rendering="plain"), strategy, lambda _: "12 and 7 make 19, so\n19")
    (example,) = outcome.sets["cot"]
    assert example.rendering == "plain"
    assert example.messages[0].content.endswith("description.\n")
    refined = read_strategy("multi-turn-refinement")
    said = iter(["18", "That is one too few, look again."])
    outcome, _ = carry_out(reference(rendering="plain"), refined, lambda _: next(said))
    (example,) = outcome.sets["multi-turn-refinement"]
    assert example.rendering == "chat"
    assert [turn.weight for turn in example.messages] == [None, 0.0, None, None]
    assert example.messages[-1].content == "19"


def test_evaluate_writes_a_good_and_a_bad_judgement():
    good = "The input asks for a sum. The output is that sum.\nVerdict: good"
    bad = "The input asks for a sum. The output is one too low.\nVerdict: bad."

    def say(request):
        step = request.where.split(", ")[1]
        return {"bad": "18", "praise": good, "blame": bad}[step]

    outcome, _ = carry_out(reference(), read_strategy("evaluate"), say)
    assert list(outcome.sets) == ["evalpos", "evalneg"]
    (pos,), (neg,) = outcome.sets.values()
    assert "[output]\n19" in pos.messages[0].content
    assert pos.messages[1].content == good
    assert "[output]\n18" in neg.messages[0].content
    assert neg.messages[1].content == bad
    outcome, _ = carry_out(reference(), read_strategy("evaluate"), lambda _: "19")
    assert (outcome.step, outcome.reason) == ("bad", "its answer is that of the reference, 19")


WELL = {
    "answer": "20",
    "verdict": "It is wrong: bad",
    "clear": "How much is 12 plus 7, as a number alone?",
    "better": "19",
    "accepted": "good",
    "praise": "It asks for a sum, and the sum is right.\nVerdict: good",
    "blame": "It asks for a sum, and the sum is wrong.\nVerdict: bad",
    "pos": '{"query": "How much is 30 plus 4, as a number alone?", "response": "34"}',
    "neg": '{"query": "Tom has 3 cups and gets 8. How many?", "response": "12"}',
    "sibling": '{"query": "Tom has 3 cups and gets 8. How many?", "response": "11"}',
    "reasoned": "12 and 7 make 19 in all. So the answer is 19.",
    "reason": "Because 12 and 7 make that many.",
    "requirements": "- the sum of both numbers\n- a number alone",
    "parsed": '{"kind": "sum", "material": "12 and 7", "wanted": "the total", "conditions": "none"}',
    "bad": "18",
    "draft": "18",
    "complaint": "That is one too few, look again.",
}


def pipeline_says(request):
    return WELL[request.where.split(", ")[1]]


def test_the_pipelines_write_the_papers_sets():
    outcome, asked = carry_out(reference(), read_strategy("clarify-pipeline"), pipeline_says)
    said = {name: example.messages[-1].content for name, (example,) in outcome.sets.items()}
    assert said == {
        "clarify": "How much is 12 plus 7, as a number alone?",
        "pos": "19",
        "pos-queries": "34",
        "neg-queries": "12",
    }
    assert [request.by for request in asked] == [
        *("student", "judge", "writer", "student", "judge", "writer", "writer"),
    ]
    outcome, _ = carry_out(reference(), read_strategy("evaluate-pipeline"), pipeline_says)
    assert list(outcome.sets) == ["evalpos", "evalneg", "pos", "pos-queries", "neg-queries"]


def test_a_pipeline_leaves_out_what_the_student_answers_well_even_where_the_judge_errs():
    def right(request):
        return "19" if ", answer," in request.where else pipeline_says(request)

    outcome, _ = carry_out(reference(), read_strategy("clarify-pipeline"), right)
    assert outcome == LeftOut("verdict", "the model's own answer is good", 2)

    def never(request):
        return "bad" if ", accepted," in request.where else pipeline_says(request)

    outcome, _ = carry_out(reference(), read_strategy("clarify-pipeline"), never)
    assert isinstance(outcome, LeftOut)
    assert outcome.step == "accepted"


REPLIES = st.one_of(
    st.sampled_from(
        [
            *WELL.values(),
            "So the answer is 20.",
            "I'm sorry, but I can't help with that.",
            "Это совсем другой язык, и он длинный.",
            "Anna has 12 pens and buys 7 more. How many pens does she have?",
            "", "<think>19", "\ud800",
        ]
    ),
    st.text(max_size=40),
)  # fmt: skip
SAID = st.one_of(
    st.none(),
    st.none(),
    REPLIES.map(Reply),
    REPLIES.map(lambda text: Reply(text, cut_off=True)),
    st.just(Failure("the server is gone")),
)


strategy_named = cache(read_strategy)


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(shipped()), script=st.lists(SAID, min_size=1, max_size=40))
def test_any_replies_end_within_the_attempts_and_give_the_same_again(name, script):
    strategy, one = strategy_named(name), reference()

    def run():
        said = cycle(script)
        return carry_out(one, strategy, lambda request: next(said) or pipeline_says(request))

    outcome, asked = run()
    assert run() == (outcome, asked)
    steps = [request.where.split(", ")[1] for request in asked]
    for ask in (step for step in strategy.steps if isinstance(step, Ask)):
        attempts = [request.attempt for request, step in zip(asked, steps, strict=True) if step == ask.name]
        assert attempts == list(range(len(attempts)))
        assert len(attempts) <= ask.attempts
    if isinstance(outcome, Rejected):
        assert outcome.reason == outcome.tried[-1].reason
    if isinstance(outcome, Crafted):
        assert list(outcome.sets) == [one.name for one in strategy.writes]
        assert all(turn.content.strip() for (example,) in outcome.sets.values() for turn in example.messages)
        _require_promises(name, outcome, one)


def _require_promises(name, outcome, one):
    """What each strategy promises of its examples, looked at without its checks."""
    texts = {called: example.messages[-1].content for called, (example,) in outcome.sets.items()}
    if name == "cot":
        assert judge(texts["cot"], one.response, "numeric").right
    if name == "evaluate":
        assert texts["evalpos"].rstrip("\n .*").lower().endswith("good")
        assert texts["evalneg"].rstrip("\n .*").lower().endswith("bad")
    if name == "similar":
        assert outcome.sets["similar"][0].messages[0].content != one.query
    if name == "clarify":
        assert texts["clarify"].lower() != one.query.lower()
    assert not any("sorry" in text or "\ud800" in text for text in texts.values())


def test_steps_and_sets_share_no_state_between_references():
    strategy = read_strategy("cot")
    carry_out(reference(), strategy, lambda _: "12 and 7 make 19, so\n19")
    outcome, _ = carry_out(replace(reference(), id="r2"), strategy, lambda _: Failure("x"))
    assert isinstance(outcome, Failed)
