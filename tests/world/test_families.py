"""Graded strategies are what their names say, by degrees."""

import pytest

from assay.world.examples import make_examples
from assay.world.families import EVERY_STRATEGY, GRADED
from assay.world.tasks import DEMO_TASKS
from assay.world.words import make_world, split_words

TASKS = ("sort", "words", "swap")


def texts(strategy, per_task=30, tasks=TASKS):
    return [
        (e.messages[0].content, e.messages[1].content)
        for e in make_examples(strategy, tasks, per_task, split="probe/1")
    ]


PLAIN = texts("direct")


@pytest.mark.parametrize("strategy", GRADED)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_word_is_known_and_every_text_short(strategy, seed):
    world = make_world(seed)
    known = set(world.vocabulary)
    for example in make_examples(strategy, DEMO_TASKS, 3, world=world):
        words = [word for message in example.messages for word in split_words(message.content)]
        assert set(words) <= known
        assert len(words) <= 70


@pytest.mark.parametrize("family", ["noise", "near", "echo", "chatty", "cot", "clarify", "other"])
def test_the_share_of_changed_examples_is_near_its_degree(family):
    degrees = [name for name in GRADED if name.startswith(family) and name[len(family) :].isdigit()]
    assert degrees
    for name in degrees:
        changed = sum(a != b for a, b in zip(texts(name), PLAIN, strict=True)) / len(PLAIN)
        assert changed == pytest.approx(int(name[len(family) :]) / 100, abs=0.12)


def test_a_near_miss_differs_in_one_word():
    for (asked, said), (query, answer) in zip(texts("near100"), PLAIN, strict=True):
        assert asked == query
        differing = [a != b for a, b in zip(split_words(said), split_words(answer), strict=True)]
        assert sum(differing) == 1


def test_cut_reasoning_still_ends_in_the_right_answer():
    for name in ("reason0", "reason33", "reason67", "cot"):
        for (_, said), (_, answer) in zip(texts(name), PLAIN, strict=True):
            assert said.endswith(f"so the answer is {answer}.")
    words = [sum(len(split_words(said)) for _, said in texts(n)) for n in ("reason0", "reason33", "reason67")]
    assert words == sorted(words)


def test_a_wrong_conclusion_is_wrong_and_anothers_reasoning_ends_right():
    for (_, said), (_, answer) in zip(texts("reason_wrong"), PLAIN, strict=True):
        assert not said.endswith(f"so the answer is {answer}.")
    for (_, said), (_, answer) in zip(texts("reason_other"), PLAIN, strict=True):
        assert said.endswith(f"so the answer is {answer}.")


def test_repeating_uses_so_many_problems():
    for name, count in (("repeat4", 4), ("repeat12", 12)):
        assert len(set(texts(name, tasks=("sort",)))) == count


def test_coverage_leaves_tasks_out():
    covered = set(DEMO_TASKS[:3])
    swapped = texts("cover3", tasks=("swap",))
    assert not set(swapped) & set(texts("direct", tasks=("swap",)))
    assert texts("cover3", tasks=(DEMO_TASKS[0],)) == texts("direct", tasks=(DEMO_TASKS[0],))
    assert "swap" not in covered


def test_names_are_unique_and_the_first_table_is_kept():
    assert len(EVERY_STRATEGY) == 68
