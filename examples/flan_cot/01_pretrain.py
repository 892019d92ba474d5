"""Trains a byte-level BPE tokenizer and a Llama of 10 million parameters on the text of the data folder.

    python 01_pretrain.py --data DATA --out RUNS/base --minutes 40

A killed run goes on from its last checkpoint with the same command.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path

import numpy as np
import torch
from corpus import pretraining_texts
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY, LENGTH = 8_000, 512
PEAK_RATE, WARM_UP = 2e-3, 100
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


def train_tokenizer(texts: list) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with role tokens and the chat template."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    plain = (text if isinstance(text, str) else "\n".join(turn["content"] for turn in text) for text in texts)
    special = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
    bpe.train_from_iterator(
        plain,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        model_max_length=LENGTH,
        additional_special_tokens=special[2:],
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def pack(texts: list, tokenizer: PreTrainedTokenizerFast, seed: int) -> np.ndarray:
    """All documents in random order, one after another, cut into rows of LENGTH tokens."""
    rendered = [
        text + "<|end|>\n" if isinstance(text, str) else tokenizer.apply_chat_template(text, tokenize=False)
        for text in texts
    ]
    random.Random(seed).shuffle(rendered)
    ids = np.concatenate(
        [np.asarray(row, np.uint16) for row in tokenizer(rendered, verbose=False)["input_ids"]]
    )
    return ids[: len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH)


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A random Llama of about 10 million parameters, embeddings tied."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=320,
            intermediate_size=896,
            num_hidden_layers=6,
            num_attention_heads=5,
            num_key_value_heads=5,
            max_position_embeddings=LENGTH,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def rate(done: float, step: int) -> float:
    """Learning rate at the share `done` of the run: linear warm-up, then a cosine down to a twentieth."""
    return (
        PEAK_RATE * min(1, (step + 1) / WARM_UP) * (0.05 + 0.95 * (1 + math.cos(math.pi * min(done, 1))) / 2)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with flan_cot/, gsm8k/, self_instruct/"
    )
    parser.add_argument("--out", type=Path, required=True)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="length of the training by the clock")
    length.add_argument("--steps", type=int, help="length in optimizer steps")
    parser.add_argument("--batch", type=int, default=4, help=f"rows of {LENGTH} tokens a step")
    parser.add_argument(
        "--dtype", choices=["bfloat16", "float32"], default="bfloat16", help="of the autocast"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    texts = list(pretraining_texts(args.data))
    tokenizer = train_tokenizer(texts)
    tokenizer.save_pretrained(args.out)
    tokens = pack(texts, tokenizer, args.seed)
    model = new_model(tokenizer).to(args.device)
    print(
        f"{model.num_parameters():,} parameters, {len(texts):,} documents, {tokens.size:,} tokens", flush=True
    )

    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.95), weight_decay=0.1)
    saved, step, seen, elapsed, log = args.out / "resume.pt", 0, 0, 0.0, []
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, seen, elapsed, log = (state[name] for name in ("step", "seen", "elapsed", "log"))

    def done() -> float:
        return step / args.steps if args.steps else elapsed / (60 * args.minutes)

    last_save = elapsed
    while done() < 1:
        started = time.perf_counter()
        epoch, first = divmod(seen, len(tokens) - args.batch + 1)
        order = np.random.default_rng(args.seed + epoch).permutation(len(tokens))
        batch = torch.from_numpy(tokens[order[first : first + args.batch]].astype(np.int64)).to(args.device)
        optimizer.param_groups[0]["lr"] = rate(done(), step)
        with torch.autocast(args.device, torch.bfloat16, enabled=args.dtype == "bfloat16"):
            loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        seen += args.batch
        elapsed += time.perf_counter() - started
        if step % 50 == 0 or done() >= 1:
            log.append({"step": step, "seconds": round(elapsed), "loss": round(loss.item(), 4)})
            print(log[-1], flush=True)
        if elapsed - last_save > 120:
            last_save = elapsed
            torch.save(
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step,
                    "seen": seen,
                    "elapsed": elapsed,
                    "log": log,
                },
                saved.with_suffix(".part"),
            )
            saved.with_suffix(".part").replace(saved)

    model.save_pretrained(args.out)
    (args.out / "pretraining.json").write_text(
        json.dumps(
            {
                "parameters": model.num_parameters(),
                "documents": len(texts),
                "tokens_in_text": int(tokens.size),
                "tokens_seen": seen * LENGTH,
                "seconds": round(elapsed),
                "log": log,
            },
            indent=1,
        )
        + "\n"
    )
    saved.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
