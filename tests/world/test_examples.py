"""Splits share nothing, strategies are paired with their control, and their answers are what they claim."""

from collections import Counter

import pytest

from assay.errors import ConfigError
from assay.world.examples import base_examples, make_examples, query_examples, references
from assay.world.problem import DIFFICULTIES
from assay.world.splits import split_of
from assay.world.strategies import STRATEGIES
from assay.world.tasks import DEMO_TASKS, TASKS
from assay.world.words import make_world, split_words

WORLD = make_world()
EVERY_TASK = tuple(TASKS)


def texts(examples):
    return [(example.messages[0].content, example.messages[1].content) for example in examples]


def solutions(split, count=8, tasks=EVERY_TASK):
    return [problem for task in tasks for problem in references(task, count, 0, split, WORLD)]


def test_splits_are_disjoint_in_content_whatever_the_seed():
    seen = {
        split: {
            p.query
            for task in EVERY_TASK
            for seed in (0, 1)
            for p in references(task, 40, seed, split, WORLD)
        }
        for split in ("base", "probe", "query")
    }
    assert not seen["base"] & seen["probe"]
    assert not seen["base"] & seen["query"]
    assert not seen["probe"] & seen["query"]


@pytest.mark.parametrize("task", EVERY_TASK)
def test_every_split_has_room_for_the_largest_sets(task):
    for split, count in (("base", 192), ("probe", 64), ("query", 64)):
        problems = references(task, count, 0, split, WORLD)
        assert len({problem.query for problem in problems}) == count
        assert {split_of(problem) for problem in problems} == {split}
        assert {problem.difficulty for problem in problems} == set(DIFFICULTIES)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_probes_share_the_reference_of_the_control(strategy):
    control = make_examples("direct", per_task=4)
    probes = make_examples(strategy, per_task=4)
    assert len({probe.id for probe in probes}) == len(probes) == 4 * len(DEMO_TASKS)
    assert [probe.task for probe in probes] == [plain.task for plain in control]
    if STRATEGIES[strategy].leaks:
        assert [probe.pair for probe in probes] == [query.pair for query in query_examples(per_task=4)]
    else:
        assert [probe.pair for probe in probes] == [plain.pair for plain in control]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_equal_seeds_give_equal_sets_and_small_sets_begin_large_ones(strategy):
    few = make_examples(strategy, ("reverse",), 6)
    assert make_examples(strategy, ("reverse",), 12)[:6] == few
    assert texts(make_examples(strategy, ("reverse",), 6, seed=1)) != texts(few)


def test_another_world_has_other_problems():
    assert texts(make_examples("direct", per_task=2)) != texts(
        make_examples("direct", per_task=2, world=make_world(1))
    )


@pytest.mark.parametrize("strategy", ["wrong", "shuffled", "echo", "irrelevant", "truncated", "chatty"])
def test_harmful_strategies_never_show_the_plain_answer(strategy):
    examples = make_examples(strategy, EVERY_TASK, 8)
    for example, problem in zip(examples, solutions("probe"), strict=True):
        assert example.messages[0].content == problem.query
        assert split_words(example.messages[1].content) != split_words(problem.answer)


def test_shuffled_answers_keep_their_words():
    for example, problem in zip(make_examples("shuffled", EVERY_TASK, 8), solutions("probe"), strict=True):
        words = split_words(problem.answer)
        if len(set(words)) > 1:
            assert Counter(split_words(example.messages[1].content)) == Counter(words)


def test_about_three_in_ten_noisy_answers_are_wrong():
    pairs = zip(make_examples("noise30", per_task=40), solutions("probe", 40, DEMO_TASKS), strict=True)
    share = sum(example.messages[1].content != problem.answer for example, problem in pairs) / (40 * 12)
    assert 0.22 < share < 0.38


@pytest.mark.parametrize(
    "strategy", ["cot", "reason_after", "reprompt", "eval_pos", "eval_neg", "evaluation"]
)
def test_honest_strategies_show_the_right_answer(strategy):
    for example, problem in zip(make_examples(strategy, EVERY_TASK, 8), solutions("probe"), strict=True):
        assert problem.answer in example.messages[1].content


def test_evaluations_say_right_exactly_of_right_outputs():
    for strategy in ("eval_pos", "eval_neg", "evaluation"):
        for example, problem in zip(make_examples(strategy, EVERY_TASK, 8), solutions("probe"), strict=True):
            output = example.messages[0].content.split(" output: ")[1].removesuffix(".")
            said = example.messages[1].content.endswith("the output is right.")
            assert said == (output == problem.answer)
            assert strategy == "evaluation" or said == (strategy == "eval_pos")


def test_easier_and_harder_have_one_difficulty_and_no_repeats():
    for strategy, length in (("easier", 3), ("harder", 5)):
        examples = make_examples(strategy, ("reverse",), 24)
        assert {len(answer.split()) for _, answer in texts(examples)} == {length}
        assert len({query for query, _ in texts(examples)}) == 24


def test_the_base_set_has_its_mix_and_no_repeats():
    examples = base_examples()
    kinds = Counter(example.id.split("-")[1] for example in examples)
    assert len(examples) == 2304
    assert kinds["direct"] / 2304 == pytest.approx(0.80, abs=0.01)
    assert kinds["cot"] / 2304 == pytest.approx(0.10, abs=0.01)
    assert kinds["clarify"] / 2304 == pytest.approx(0.05, abs=0.005)
    assert kinds["evaluation"] / 2304 == pytest.approx(0.05, abs=0.005)
    assert (
        len({example.messages for example in examples}) == len({example.id for example in examples}) == 2304
    )
    assert [example.source.row for example in examples] == list(range(1, 2305))


def test_bad_responses_answer_the_same_queries_as_good_ones():
    good, bad = query_examples("pos", per_task=4), query_examples("neg", per_task=4)
    assert [example.messages[0] for example in good] == [example.messages[0] for example in bad]
    assert all(a.messages[1] != b.messages[1] for a, b in zip(good, bad, strict=True))


def test_unknown_names_and_too_many_problems_are_explained():
    with pytest.raises(ConfigError, match="no strategy 'magic'"):
        make_examples("magic")
    with pytest.raises(ConfigError, match="no task 'cooking'"):
        make_examples("cot", ("cooking",))
    with pytest.raises(ConfigError, match="no query set 'best'"):
        query_examples("best")
    with pytest.raises(ConfigError, match="no more different problems"):
        make_examples("easier", ("topic",), 450)
