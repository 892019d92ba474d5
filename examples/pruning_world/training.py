"""A training from a fresh adapter by given steps, and the questions asked after it. Knows no arms."""

from collections.abc import Sequence

import torch
from peft.tuners.lora import LoraLayer
from setting import MOST_TOKENS
from torch import nn

from assay.data.answers import judge
from assay.data.example import Example, Tokens
from assay.data.prompts import ends_of, prompts_of
from assay.gradients.coverage import trained_parameters
from assay.lookahead.losses import answers
from assay.lookahead.steps import Step, take_steps
from assay.models.generate import generate, own_ends
from assay.models.recipe import FineTuneRecipe


def start_over(model: nn.Module, seed: int) -> None:
    """LoRA as it is before training: B = 0, A drawn by the seed."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.reset_lora_parameters("default", True)


def follow(model: nn.Module, rule: FineTuneRecipe, steps: Sequence[Step]) -> None:
    """Take all steps of a recipe, which must be as many as it says."""
    assert rule.steps(0) == len(steps)
    rates = [rule.rate(step, len(steps)) for step in range(len(steps))]
    parameters = list(trained_parameters(model).values())
    optimizer = torch.optim.AdamW(parameters, lr=rule.learning_rate, weight_decay=0.0)
    take_steps(model, optimizer, steps, rates=rates, max_grad_norm=rule.max_grad_norm)


def ask(model: nn.Module, test: Sequence[Example], tokens: Sequence[Tokens], tokenizer) -> dict[str, list]:
    """Loss of the right completion, and whether the final answer that greedy decoding gives is right."""
    prompts = prompts_of(test, tokenizer, render="chat", chat_template=None)
    ends = sorted({*ends_of(prompts, tokenizer), *own_ends(model)})
    said = generate(model, prompts, tokenizer, ends=ends, max_new_tokens=MOST_TOKENS)
    right = [
        not answer.cut_off and judge(answer.text, one.messages[-1].content, "normalised").right
        for answer, one in zip(said, test, strict=True)
    ]
    losses = answers(model, tokens).losses
    return {"right": [int(one) for one in right], "losses": [round(float(one), 6) for one in losses]}
