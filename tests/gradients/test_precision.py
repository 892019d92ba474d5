"""Narrow weights and quantised layers that compute narrowly are told from precise ones, and come back."""

import torch
from torch import nn

from assay.gradients.precision import in_fp32, is_precise


class Quantised(nn.Module):
    """A layer that says in what it computes; its weight's dtype is that of its storage."""

    def __init__(self, computes_in: torch.dtype) -> None:
        super().__init__()
        self.compute_dtype = computes_in
        self.weight = nn.Parameter(torch.zeros(4, dtype=torch.bfloat16), requires_grad=False)
        self.weight.quant_state = object()


def test_storage_counts_for_plain_weights_and_computing_for_quantised_ones() -> None:
    plain = nn.Linear(2, 2)
    assert is_precise(nn.Sequential(plain, Quantised(torch.float32)))
    assert not is_precise(nn.Sequential(plain, Quantised(torch.bfloat16)))
    assert not is_precise(nn.Sequential(plain.to(torch.bfloat16), Quantised(torch.float32)))


def test_in_fp32_all_computes_precisely_and_comes_back_to_the_bit() -> None:
    model = nn.Sequential(nn.Linear(2, 2).to(torch.bfloat16), Quantised(torch.bfloat16))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with in_fp32(model):
        assert is_precise(model)
        assert model[0].weight.dtype == torch.float32
        assert model[1].weight.dtype == torch.bfloat16
    assert model[1].compute_dtype == torch.bfloat16
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model[0].weight.dtype == torch.bfloat16
