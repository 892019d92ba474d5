"""Jobs are answered in order, each request once, with every reply kept before a job goes on."""

import itertools
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.asking.cache import Cache
from assay.asking.drive import GONE, GONE_LATER, OPEN, drive
from assay.asking.request import Failure, Reply
from assay.asking.spent import Price, Spent, Tally
from assay.errors import ConfigError
from tests.asking.servers import asking, job


class Scripted:
    """Answers each text by `answer`, in an order of its own: `order` picks who is next of those under way."""

    def __init__(self, answer=lambda text: Reply(f"<{text}>", False, 2, 1), name="m", room=3, order=None):
        self.answer, self.name, self.room, self.retries = answer, name, room, 0
        self.order = order or itertools.repeat(0)
        self.under_way, self.asked, self.ready, self.most = [], [], True, 0

    def start(self, request):
        self.under_way.append(request)
        self.asked.append(request.turns[0].content)
        self.most = max(self.most, len(self.under_way))

    def finished(self):
        request = self.under_way.pop(next(self.order) % len(self.under_way))
        return [(request, self.answer(request.turns[0].content))]

    def close(self):
        pass


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "replies.sqlite")


def said(outcomes):
    return [[one.text if isinstance(one, Reply) else one.reason for one in replies] for replies in outcomes]


@settings(max_examples=20, deadline=None)
@given(
    jobs=st.lists(st.lists(st.sampled_from("abcdef"), max_size=4), max_size=12),
    room=st.integers(1, 4),
    order=st.lists(st.integers(0, 50), min_size=1, max_size=9),
)
def test_outcomes_come_in_order_and_nothing_is_asked_twice(tmp_path_factory, jobs, room, order):
    cache = Cache(tmp_path_factory.mktemp("drive") / "replies.sqlite")
    model = Scripted(room=room, order=itertools.cycle(order))
    expected = [
        [*itertools.accumulate(texts, lambda before, text: f"<{text}{before}>", initial="")][1:]
        for texts in jobs
    ]
    spent = {}
    found = said(drive((job(*texts) for texts in jobs), {"writer": model}, cache, spent=spent))
    assert found == expected
    assert len(model.asked) == len(set(model.asked)) == len(cache)
    assert model.most <= room
    uses = sum(map(len, jobs))
    assert spent["m"].used == Tally(uses, 2 * uses, uses)
    assert (spent["m"].calls, spent["m"].cached) == (len(model.asked), uses - len(model.asked))
    again, spent_again = Scripted(), {}
    assert (
        said(drive((job(*texts) for texts in jobs), {"writer": again}, cache, spent=spent_again)) == expected
    )
    assert again.asked == []
    assert spent_again["m"].used == spent["m"].used
    assert spent_again["m"].bought == Tally()
    cache.close()


def test_memory_does_not_grow_with_the_number_of_jobs(cache):
    begun, ended, widest = 0, 0, 0

    def jobs():
        nonlocal begun, widest
        for number in range(200):
            begun += 1
            widest = max(widest, begun - ended)
            yield job(str(number))

    for _ in drive(jobs(), {"writer": Scripted(room=2)}, cache):
        ended += 1
    assert (begun, ended) == (200, 200)
    assert widest <= OPEN * 2 + 1


def test_jobs_are_drawn_and_models_asked_as_outcomes_are_wanted(cache):
    model = Scripted(room=2)
    driven = drive((job(str(number)) for number in itertools.count()), {"writer": model}, cache)
    assert said([next(driven), next(driven)]) == [["<0>"], ["<1>"]]
    driven.close()
    assert len(model.asked) <= OPEN * 2 + 4


def test_who_came_first_is_asked_for_first(cache):
    model = Scripted(room=1)
    list(drive([job("a", "b"), job("c", "d")], {"writer": model}, cache))
    assert model.asked == ["a", "b<a>", "c", "d<c>"]


def test_every_reply_is_kept_before_a_job_sees_it(cache):
    def watching():
        reply = yield asking("a")
        return cache.get("m", asking("a")) == reply

    assert list(drive([watching()], {"writer": Scripted()}, cache)) == [True]


def test_replies_heard_together_are_kept_together_even_if_a_job_breaks(cache):
    class All(Scripted):
        def finished(self):
            return [(request, self.answer(request.turns[0].content)) for request in self._taken()]

        def _taken(self):
            taken, self.under_way = self.under_way, []
            return taken

    def broken():
        yield asking("a")
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        list(drive([broken(), job("b"), job("c")], {"writer": All(room=3)}, cache))
    assert len(cache) == 3


def test_a_failure_is_not_kept_and_reaches_all_who_waited(cache):
    model = Scripted(lambda text: Failure("busy"))
    assert said(drive([job("a"), job("a")], {"writer": model}, cache)) == [["busy"], ["busy"]]
    assert model.asked == ["a"]
    assert len(cache) == 0
    assert said(drive([job("a")], {"writer": Scripted()}, cache)) == [["<a>"]]


def test_who_is_asked_is_the_model_of_that_name_and_one_model_may_be_two(cache):
    def both():
        one = yield asking("a", by="writer")
        two = yield asking("a", by="student")
        three = yield asking("a", by="judge")
        return [one.text, two.text, three.text]

    writer, student = Scripted(name="w"), Scripted(lambda text: Reply("own"), name="s")
    models = {"writer": writer, "student": student, "judge": writer}
    assert list(drive([both()], models, cache)) == [["<a>", "own", "<a>"]]
    assert (writer.asked, student.asked) == (["a"], ["a"])


def test_models_that_work_at_once_are_heard_as_they_are_ready(cache):
    class Threaded(Scripted):
        """Ready when its lock is let go of; hearing it before would hang for good."""

        def __init__(self, name, gate, opens):
            super().__init__(name=name, room=1)
            self.gate, self.opens = gate, opens

        @property
        def ready(self):
            return self.gate.is_set()

        @ready.setter
        def ready(self, value):
            pass

        def finished(self):
            assert self.gate.wait(30)
            self.opens.set()
            return super().finished()

    gates = [threading.Event(), threading.Event()]
    gates[1].set()
    slow, quick = Threaded("slow", gates[0], threading.Event()), Threaded("quick", gates[1], gates[0])
    jobs = [job("a", by="writer"), job("b", by="student")]
    assert said(drive(jobs, {"writer": slow, "student": quick}, cache)) == [["<a>"], ["<b>"]]


def test_two_models_of_one_name_are_refused(cache):
    with pytest.raises(ConfigError, match="Two models are named 'm'"):
        list(drive([job("a")], {"writer": Scripted(), "judge": Scripted()}, cache))


def test_a_request_to_nobody_is_refused(cache):
    with pytest.raises(ConfigError, match="request to the student, and no model is named for it"):
        list(drive([job("a", by="student")], {"writer": Scripted()}, cache))


def test_jobs_that_ask_nothing_need_no_model(cache):
    assert list(drive([job(), job()], {}, cache)) == [[], []]


@pytest.mark.parametrize(
    ("refused", "answers_first", "asked"),
    [(False, False, GONE), (True, False, GONE_LATER), (False, True, GONE_LATER)],
)
def test_a_model_that_is_plainly_gone_stops_all_with_its_reason(cache, refused, answers_first, asked):
    def answer(text):
        return Reply("yes") if answers_first and text == "0" else Failure("nobody is there", refused)

    model = Scripted(answer, room=1)
    with pytest.raises(ConfigError, match=rf"m gave no reply to {asked} requests in a row.*nobody is there"):
        list(drive((job(str(number)) for number in range(1000)), {"writer": model}, cache))
    assert len(model.asked) <= asked + 2


def test_what_a_model_refuses_that_answers_others_stops_nothing(cache):
    model = Scripted(lambda text: Reply("yes") if text == "0" else Failure("too long", refused=True))
    found = said(drive((job(str(number)) for number in range(200)), {"writer": model}, cache))
    assert found == [["yes"], *[["too long"]] * 199]


def test_failures_between_replies_stop_nothing(cache):
    model = Scripted(lambda text: Failure("busy") if int(text) % 5 else Reply("yes"))
    assert len(list(drive((job(str(number)) for number in range(200)), {"writer": model}, cache))) == 200


def test_what_was_spent_is_counted(cache):
    replies = {
        "a": Reply("x", False, 100, 10),
        "b": Reply("y"),
        "c": Failure("busy"),
        "d": Reply("z", False, 1, 2),
    }
    model = Scripted(replies.__getitem__)
    model.retries = 4
    cache.put("m", asking("d"), replies["d"])
    spent: dict[str, Spent] = {}
    list(drive([job(text) for text in "abcda"], {"writer": model}, cache, spent=spent))
    assert spent == {"m": Spent(3, 2, 4, 1, Tally(2, 100, 10, 1), Tally(4, 201, 22, 1))}
    total = Spent.total([spent["m"], spent["m"]])
    assert total == Spent(6, 4, 8, 2, Tally(4, 200, 20, 2), Tally(8, 402, 44, 2))
    assert Spent.total([]) == Spent()
    assert Price(0.5, 2.0).of(total.bought) == pytest.approx((0.5 * 200 + 2.0 * 20) / 1e6)
