"""Means of a prompt's hidden states against a loop without padding; what centring does."""

import numpy as np
import pytest
import torch

from assay.data.example import Tokens
from assay.errors import DataError
from assay.incontext.features import centred, mean_of, prompt_ids, prompt_states
from tests.gradients.models import examples, family


def one_by_one(model: torch.nn.Module, tokens: list[Tokens]) -> np.ndarray:
    """The definition: x alone, the model's own hidden states, their plain mean."""
    rows = []
    for example in tokens:
        first = int(np.flatnonzero(example.weights)[0])
        x = torch.from_numpy(example.input_ids[: first if first > 1 else None])[None]
        with torch.no_grad():
            states = model(input_ids=x, output_hidden_states=True).hidden_states[-1][0]
        rows.append(states.double().numpy().mean(axis=0))
    return np.array(rows)


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
def test_states_are_the_mean_over_the_prompt_alone_whatever_the_batch(name: str) -> None:
    model, tokens = family(name).double().eval(), examples(12)
    truth = one_by_one(model, tokens)
    for budget in (1, 40, 4096):
        np.testing.assert_allclose(prompt_states(model, tokens, token_budget=budget), truth, atol=1e-6)


def test_a_prompt_reaches_to_the_first_learned_token_and_stands_in_for_nothing_shorter_than_two() -> None:
    def example(*weights: float) -> Tokens:
        return Tokens("z", np.arange(10, 10 + len(weights)), np.array(weights, dtype=np.float32))

    assert prompt_ids(example(0, 0, 0, 1, 0, 1)).tolist() == [10, 11, 12]
    assert prompt_ids(example(0, 1, 1)).tolist() == [10, 11, 12]
    assert prompt_ids(example(0, 0, 1)).tolist() == [10, 11]


def test_centring_takes_away_what_all_prompts_share_and_keeps_directions() -> None:
    rng = np.random.default_rng(0)
    apart = rng.normal(size=(50, 8))
    raw = (apart + 30.0).astype(np.float32)
    mean = mean_of([raw[:20], raw[20:]])
    np.testing.assert_allclose(mean, raw.astype(np.float64).mean(axis=0), atol=1e-12)
    found = centred(raw, mean)
    assert found.dtype == np.float32
    expected = raw - raw.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)
    shared = centred(raw, None)
    assert (shared @ shared.T).min() > 0.98
    assert (found @ found.T).min() < -0.5


def test_rows_that_are_not_finite_or_point_nowhere_are_nan_and_do_not_enter_the_mean() -> None:
    raw = np.array([[1, 0], [np.nan, 1], [3, 4], [2, 2]], dtype=np.float32)
    mean = mean_of([raw])
    np.testing.assert_array_equal(mean, [2, 2])
    found = centred(raw, mean)
    assert np.isnan(found[[1, 3]]).all()
    assert np.isfinite(found[[0, 2]]).all()
    with pytest.raises(DataError, match="finite"):
        mean_of([raw[1:2]])


def test_a_pool_of_equal_prompts_has_no_directions_but_for_rounding() -> None:
    raw = np.full((4, 6), 0.1, dtype=np.float32)
    raw[0, 0] = np.nextafter(np.float32(0.1), np.float32(1))
    assert np.isnan(centred(raw, mean_of([raw]))).all()


def test_a_prompt_whose_states_are_not_finite_is_a_row_of_nan() -> None:
    model, tokens = family("llama", tied=False), examples(4)
    with torch.no_grad():
        model.get_input_embeddings().weight[60] = float("nan")
    sound = [Tokens(one.id, one.input_ids % 60, one.weights) for one in tokens]
    sound[2].input_ids[0] = 60
    found = prompt_states(model, sound)
    assert np.isnan(found).all(axis=1).tolist() == [False, False, True, False]
    with torch.no_grad():
        model.get_submodule("model.norm").weight[3] = float("inf")
    assert np.isnan(prompt_states(model, sound)).all()
