"""A model in memory answers as `generate` does; a reply follows from the request and the weights alone."""

import numpy as np
import pytest
import torch

from assay.asking.cache import Cache, address
from assay.asking.drive import drive
from assay.asking.local import Local
from assay.asking.request import Failure, Reply, Request, Turn
from assay.data.prompts import Prompt
from assay.errors import ConfigError, ModelError, NumericsError
from assay.models.generate import generate
from tests.asking.servers import asking, job
from tests.models.builders import save_base, save_run

TEXTS = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9", "w2 w2", "w9 w1"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("local") / "base")


def opened(base, **how) -> Local:
    """The model with its weights scaled, so that replies differ and end."""
    local = Local.open(str(base), device="cpu", **how)
    with torch.no_grad():
        for parameter in local._session.model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(6.0)
    return local


def answers(local: Local, requests) -> list[Reply | Failure]:
    for request in requests:
        local.start(request)
    found = {}
    while len(found) < len(set(requests)):
        found.update(local.finished())
    return [found[request] for request in requests]


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_replies_are_those_of_generate_to_the_templates_prompt(base, temperature):
    local = opened(base)
    request = Request((Turn("system", "w3"), Turn("user", "w1 w2")), temperature=temperature, max_tokens=9)
    (reply,) = answers(local, [request])
    tokenizer = local._session.tokenizer
    ids = np.array(tokenizer("system w3 <eos> user w1 w2 <eos> assistant")["input_ids"])
    (expected,) = generate(
        local._session.model,
        [Prompt("q", ids, 1)],
        tokenizer,
        ends=(1,),
        max_new_tokens=9,
        temperature=temperature,
        seeds=[int(address(local.name, request)[:16], 16)],
    )
    assert reply == Reply(expected.text, expected.cut_off, len(ids), len(expected.tokens))


def test_who_shares_a_batch_and_when_changes_no_reply(base):
    requests = [
        asking(text, temperature=temperature, max_tokens=limit)
        for text in TEXTS
        for temperature in (0.0, 1.0)
        for limit in (3, 8)
    ]
    together = answers(opened(base), requests)
    assert together == answers(opened(base, room=1), requests)
    assert together[::-1] == answers(opened(base, room=3), requests[::-1])
    assert len({reply.text for reply in together}) > len(requests) / 2


def test_a_further_attempt_is_another_reply_where_it_is_sampled(base):
    local = opened(base)
    cold, warm = (
        answers(local, [asking("w1", temperature=t, max_tokens=8, attempt=a) for a in range(4)])
        for t in (0.0, 1.5)
    )
    assert len(set(cold)) == 1
    assert len(set(warm)) > 1


def test_a_batch_is_what_is_alike_up_to_the_room_for_it(base):
    local = opened(base, room=2)
    requests = [asking(text, temperature=0.0, max_tokens=2) for text in TEXTS[:3]]
    local.start(asking("w1", temperature=1.0, max_tokens=2))
    assert not local.ready
    for request in requests:
        local.start(request)
    assert local.ready
    assert [request.temperature for request, _ in local.finished()] == [1.0]
    assert [request for request, _ in local.finished()] == requests[:2]
    assert [request for request, _ in local.finished()] == requests[2:]
    assert local.finished() == []


def test_a_prompt_that_cannot_be_asked_fails_alone(base):
    long = asking("w1 " * 80, max_tokens=2)
    found = answers(opened(base), [asking("w1", max_tokens=2), long, asking("w2", max_tokens=2)])
    assert [type(one) for one in found] == [Reply, Failure, Reply]
    assert found[1].refused
    assert "83 tokens and leaves no room for a reply in the 64" in found[1].reason
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turns') }}{% endif %}w1 "
    system = Request((Turn("system", "w1"), Turn("user", "w2")))
    (refused,) = answers(opened(base, chat_template=strict), [system])
    assert refused.refused
    assert "no system turns" in refused.reason


def test_without_a_template_turns_are_joined(base, tmp_path):
    folder = save_base(tmp_path / "plain")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    request = Request((Turn("system", "w3"), Turn("user", "w1 w2")), max_tokens=4, temperature=0.0)
    plain, told = opened(folder), opened(base, render="plain")
    assert [reply.prompt_tokens for reply in answers(plain, [request])] == [3]
    assert [reply.text for reply in answers(told, [request])] == [
        reply.text for reply in answers(plain, [request])
    ]
    with pytest.raises(ModelError, match="no chat template"):
        answers(opened(folder, render="chat"), [request])


def test_the_last_checkpoint_of_a_run_is_asked_under_a_name_that_stands_for_its_weights(base, tmp_path):
    run = save_run(tmp_path / "run", base, steps=(10, 20))
    last = Local.open(str(run), device="cpu")
    assert last.name.startswith("checkpoint-20 (")
    assert last.name == Local.open(str(run / "checkpoint-20"), device="cpu").name
    names = {
        last.name,
        Local.open(str(run / "checkpoint-10"), device="cpu").name,
        Local.open(str(base), device="cpu").name,
        Local.open(str(base), device="cpu", render="plain").name,
        Local.open(str(base), device="cpu", chat_template="{{ messages }}").name,
        Local.open(str(save_base(tmp_path / "base", seed=1)), device="cpu").name,
        Local.open(str(run), base_model=str(tmp_path / "base"), device="cpu").name,
    }
    assert len(names) == 7
    assert str(tmp_path) not in str(names)


def test_weights_that_are_not_finite_name_the_request(base):
    local = opened(base)
    with torch.no_grad():
        local._session.model.model.norm.weight[0] = float("nan")
    local.start(asking("w1", where="cot, reasoned, of gsm8k-17"))
    with pytest.raises(NumericsError, match="'cot, reasoned, of gsm8k-17'"):
        local.finished()


def test_a_batch_of_none_is_refused(base):
    with pytest.raises(ConfigError, match="at least 1"):
        Local.open(str(base), device="cpu", room=0)


def test_jobs_are_driven_and_a_rerun_asks_nothing(base, tmp_path):
    cache, local = Cache(tmp_path / "replies.sqlite"), opened(base, room=4)
    how = {"temperature": 1.0, "max_tokens": 3}
    found = list(
        drive((job(text, "w1 ", **how) for text in TEXTS * 3), {"student": local, "writer": local}, cache)
    )
    assert found[: len(TEXTS)] == found[len(TEXTS) : 2 * len(TEXTS)]
    assert all(isinstance(reply, Reply) for replies in found for reply in replies)
    local.start = None
    assert list(drive((job(text, "w1 ", **how) for text in TEXTS * 3), {"writer": local}, cache)) == found
