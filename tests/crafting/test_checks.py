import pytest

from assay.crafting.checks import CHECKS, Knowledge
from assay.crafting.leaks import leak_index
from assay.data.example import Example, Message, Source
from tests.crafting.makers import reference

NUMBERS, WORDS, OPTIONS = Knowledge("numeric"), Knowledge("normalised"), Knowledge("choice")


def reason(name, text, response="19", known=NUMBERS, query="How many pens?", **options):
    return CHECKS[name].function(text, reference(query, response), options, known)


@pytest.mark.parametrize(
    ("text", "response", "known"),
    [
        ("12 + 7 = 19. So the answer is 19.", "19", NUMBERS),
        ("12 和 7 相加。因此答案是19。", "19", NUMBERS),
        ("They differ in the city. So the answer is not similar.", "Not similar", WORDS),
        ("It is the biggest.\nSo the answer is (B).", "(B)", OPTIONS),
        (
            "Each line is one step.\n\n1. Mix the flour.\n2. Bake the bread.",
            "1. Mix the flour.\n2. Bake the bread.",
            WORDS,
        ),
    ],
)
def test_an_answer_agrees_where_its_final_answer_is_the_references(text, response, known):
    assert reason("answer_agrees", text, response, known) is None
    assert "is that of the reference" in reason("answer_differs", text, response, known)


@pytest.mark.parametrize(
    ("text", "response", "known"),
    [
        ("12 + 7 = 20. So the answer is 20.", "19", NUMBERS),
        ("19 is too small, so the answer is 21.", "19", NUMBERS),
        ("So the answer is not similar.", "similar", WORDS),
        ("So the answer is (C).", "(B)", OPTIONS),
        ("I cannot say.", "19", NUMBERS),
    ],
)
def test_an_answer_differs_where_its_final_answer_is_another(text, response, known):
    assert "and not" in reason("answer_agrees", text, response, known)
    assert reason("answer_differs", text, response, known) is None


def test_an_answer_is_compared_with_what_it_is_held_against():
    assert reason("answer_agrees", "So the answer is 5.", against="5") is None
    assert reason("answer_agrees", "So the answer is 19.", against="5") == "its answer is 19 and not 5"


def test_length_counts_characters_and_the_ratio_to_the_response():
    assert reason("length", "abc", min=3, max=3, ratio=1.5) is None
    assert reason("length", "abcd", min=5) == "it has 4 characters, fewer than 5"
    assert reason("length", "abcd", max=3) == "it has 4 characters, more than 3"
    assert reason("length", "abcd", ratio=1.5) == "it is 2 times as long as the reference's, more than 1.5"


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("The two sentences are not alike.", "这两个句子的意思并不相同"),
        ("Это длинное предложение по-русски.", "This is a long sentence in English."),
        ("東京は日本の首都です。", "东京是日本国的首都和最大城市"),
        ("두 문장의 뜻이 서로 다릅니다.", "这两个句子的意思并不相同"),
    ],
)
def test_another_script_is_noticed_both_ways(text, other):
    assert "letters, not in" in reason("language", text, other)
    assert "letters, not in" in reason("language", other, text)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Une phrase en français, évidemment.", "A sentence in English, of course."),
        ("请用Python实现一个quicksort函数", "请写一个函数来排序列表里的数字"),
        ("48 + 24 = 72", "这两个句子的意思并不相同"),
        ("ｆｕｌｌｗｉｄｔｈ　ｌｅｔｔｅｒｓ", "letters of the usual width"),
        ("カタカナとひらがなの文章", "東京は日本の首都です。"),
    ],
)
def test_a_common_script_and_texts_with_hardly_a_letter_pass(text, other):
    assert reason("language", text, other) is None


def test_a_copy_is_told_by_its_runs_of_words_and_not_by_its_looks():
    text = "The quick brown fox jumps over the lazy dog while it rains in the town."
    other = "A slow grey wolf walks under the busy bridge while it snows in the hills."
    assert reason("not_a_copy", text.upper().replace(".", " !"), text) == "it is a copy of the reference's"
    assert "nearly a copy" in reason("not_a_copy", f"{text} Again.", text, most=0.8)
    assert reason("not_a_copy", other, text) is None
    assert reason("not_a_copy", "not similar", "similar") is None
    assert reason("not_a_copy", "从前有一座山，山上有一座庙。", "从前有一座山，山上有一座庙") is not None
    assert reason("not_a_copy", "今天的天气非常好，我们去公园玩。", "从前有一座山，山上有一座庙") is None


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m really sorry, but I cannot write this.",
        "I cannot assist with this request.",
        "As an AI language model, I have no opinion.",
        "抱歉，我无法回答这个问题。",
        "作为一个人工智能语言模型，我没有感情。",
    ],
)
def test_a_refusal_is_noticed_unless_the_reference_refuses_too(text):
    assert reason("no_refusal", text) == "it refuses"
    assert reason("no_refusal", text, "I'm sorry, but I cannot do that.") is None


@pytest.mark.parametrize(
    "text", ["Sorry is what he said.", "I can see 19 pens.", "As an aircraft it can fly.", "我不能同意更多"]
)
def test_other_words_are_no_refusal(text):
    assert reason("no_refusal", text) is None


def test_reasons_stand_before_or_behind_the_answer():
    before = "She has 12 and gets 7. So the answer is 19."
    assert reason("reasons", before) is None
    assert reason("reasons", "19") == "no reasons before its answer"
    assert reason("reasons", "So the answer is 19.") == "only 2 words before its answer"
    assert reason("reasons", "十二加七等于十九。\n答案是19") is None
    assert reason("reasons", "19\nBecause 12 and 7 make 19 pens.", where="after") is None
    assert reason("reasons", "19", where="after") == "no reasons behind its answer"


def test_patterns_are_looked_for_in_every_line():
    assert reason("matches", "a\nVerdict: good", pattern="^Verdict: good$") is None
    assert "matches ^So" in reason("matches", "And so", pattern="^So")
    assert reason("lacks", "a\nb", pattern="^c") is None
    assert reason("lacks", "a\nbad", pattern="^b") == "b in it matches ^b"


def evaluation(query, response="yes", row=1):
    return Example(f"e{row}", (Message("user", query), Message("assistant", response)), Source("e", row))


def test_a_long_run_of_evaluation_text_is_a_leak_and_the_references_own_words_are_not():
    asked = "Which river flows through the old town of Bern in the west of Switzerland?"
    leaks = Knowledge(leaks=leak_index([evaluation(asked)]))
    repeated = "Tell me, which river flows through the old town of BERN, in the west?"
    assert reason("no_leak", repeated, known=leaks) == (
        'it repeats evaluation text: "which river flows through the old town of"'
    )
    assert reason("no_leak", repeated, known=leaks, query=asked) is None
    assert reason("no_leak", "Which river flows through the old city of Bern?", known=leaks) is None
    assert reason("no_leak", repeated) is None


def test_short_evaluation_queries_leak_as_a_whole_and_short_responses_do_not():
    leaks = Knowledge(leaks=leak_index([evaluation("reverse cat dog sun", "sun dog cat then")]))
    assert "reverse cat dog sun" in reason("no_leak", "Reverse: cat, dog, sun!", known=leaks)
    assert reason("no_leak", "sun dog cat then", known=leaks) is None
    assert reason("no_leak", "reverse cat dog", known=leaks) is None


def test_a_leak_is_found_in_a_script_without_spaces():
    leaks = Knowledge(
        leaks=leak_index([evaluation("小张买了五支笔，小李买了两本书，他们交换了东西，小张现在有几本书？")])
    )
    assert "小张买了五支笔" in reason(
        "no_leak", "题目：小张买了五支笔，小李买了两本书，他们交换了。", known=leaks
    )
    assert reason("no_leak", "小王买了三支笔，小李买了两本书，他们回家了。", known=leaks) is None


def test_what_a_whole_evaluation_task_begins_with_is_no_leak_however_often_a_row_is_repeated():
    instruction = "Say in one word whether the two sentences below mean the same"
    rows = [evaluation(f"{instruction}: {word}", row=i) for i, word in enumerate(("cats", "dogs", "owls"))]
    assert reason("no_leak", instruction, known=Knowledge(leaks=leak_index(rows))) is None
    same = [evaluation(f"{instruction}: cats", row=i) for i in range(5)]
    assert reason("no_leak", instruction, known=Knowledge(leaks=leak_index(same))) is not None


def test_the_main_option_of_a_check_is_one_of_its_options():
    for row in CHECKS.values():
        assert row.main is None or row.main in row.options
        assert set(row.needed) <= set(row.options)


def test_every_task_compares_answers_in_its_own_way() -> None:
    known = Knowledge(answers_of={"sums": "numeric", "words": "normalised"})
    of_sums = reference(response="1,200", task="sums")
    of_words = reference(response="1,200", task="words")
    agrees, said = CHECKS["answer_agrees"].function, "So the answer is 1200.00 dollars."
    assert agrees(said, of_sums, {}, known) is None
    assert agrees(said, of_words, {}, known) is not None
