"""Pools of different sizes through `assay score` and `assay select`: time, and how memory grows with them.

A random Llama (hidden 32, 2 layers, LoRA r=4) and rows of 20 to 40 tokens are made in place, so what is seen
is the way of rows through files, shards, tables and rules, not the model. Every command is a process of its
own, whose peak of resident memory is the one that the system tells. With --kill the largest pool is scored
once more, killed in the middle (SIGKILL), gone on with, and compared byte by byte.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ASSAY = [sys.executable, "-c", "from assay.cli import main; main()"]
METHODS = ("graddot", "gradcos", "minus_loss", "bm25", "length", "random")
SELECTIONS = {
    "top": ("--rule", "top", "--method", "graddot"),
    "round_robin": ("--rule", "round_robin", "--method", "graddot"),
}
TABLES = ("scores.parquet", "aggregates.parquet")


@dataclass(frozen=True, slots=True)
class Took:
    """Wall and processor seconds, and the peak of resident memory in MB."""

    wall: float
    processor: float
    memory: float

    def __str__(self) -> str:
        return f"{self.wall:7.1f} s wall  {self.processor:7.1f} s processor  {self.memory:6.0f} MB"


def took(command: list[str], log: Path) -> Took:
    """Run a command to its end; what it says goes to `log`. Raises SystemExit where it fails."""
    began = time.monotonic()
    with log.open("w") as said:
        child = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command[:5])} … failed, see {log}")
    return Took(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def make(folder: Path, sizes: list[int], queries: int) -> None:
    """Model, adapter, pools and queries in `folder`; a smaller pool is the beginning of a larger one."""
    import numpy as np
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    from assay.world import make_world
    from assay.world.tokenizer import make_tokenizer, save_tokenizer

    world = make_world(0)
    tokenizer = make_tokenizer(world)
    torch.manual_seed(0)
    base = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=128,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    base.save_pretrained(folder / "model")
    save_tokenizer(tokenizer, folder / "model")
    adapted = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "v_proj", "up_proj"]))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.02)
    adapted.peft_config["default"].base_model_name_or_path = str(folder / "model")
    adapted.save_pretrained(folder / "run" / "checkpoint-1")
    words = np.array(sorted(word for word in world.vocabulary if word.isalpha()))

    def row(kind: str, at: int) -> str:
        rng = np.random.default_rng([len(kind), at])
        asked, said = (
            " ".join(rng.choice(words, int(rng.integers(least, most)))) for least, most in ((8, 19), (6, 15))
        )
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        return json.dumps({"id": f"{kind}-{at}", "task": f"task-{at % 7}", "messages": turns}) + "\n"

    for name, count in {**{f"pool-{size}": size for size in sizes}, "queries": queries}.items():
        with (folder / f"{name}.jsonl").open("w") as file:
            file.writelines(row(name.partition("-")[0], at) for at in range(count))


def score(folder: Path, size: int, out: Path) -> list[str]:
    methods = [part for name in METHODS for part in ("--method", name)]
    files = {
        "--checkpoints": folder / "run",
        "--candidates": folder / f"pool-{size}.jsonl",
        "--queries": folder / "queries.jsonl",
        "--out": out,
    }
    return [*ASSAY, "score", *methods, *(str(part) for pair in files.items() for part in pair)]


def select(scores: Path, options: tuple[str, ...], out: Path) -> list[str]:
    return [*ASSAY, "select", "--scores", str(scores), *options, "--budget", "50%", "--out", str(out)]


def killed(command: list[str], out: Path, log: Path) -> int:
    """Start the command, and kill it when half of the shards have been measured; how many had."""
    with log.open("w") as said:
        child = subprocess.Popen(command, stdout=said, stderr=said)
        while child.poll() is None:
            time.sleep(0.05)
            shards = len(list(out.glob("pool/shard-*.safetensors")))
            done = len(list(out.glob("measures/*/gradient/[0-9]*.safetensors")))
            if done and 2 * done >= shards:
                child.send_signal(signal.SIGKILL)
                child.wait()
                return done
    raise SystemExit(f"The scoring ended before it could be killed, see {log}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="a folder for everything, not there yet")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--queries", type=int, default=10)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    folder = args.out.resolve()
    if args.make:
        make(folder, args.sizes, args.queries)
        return
    folder.mkdir(parents=True)
    subprocess.run([sys.executable, __file__, *sys.argv[1:], "--make"], check=True)
    for size in args.sizes:
        out = folder / f"scores-{size}"
        result = took(score(folder, size, out), folder / f"score-{size}.log")
        print(f"{size:>8,}  {'score':12}", result, flush=True)
        for name, options in SELECTIONS.items():
            chosen = folder / f"{name}-{size}"
            result = took(select(out, options, chosen), folder / f"{name}-{size}.log")
            page = (chosen / "report.html").stat().st_size / 1e6
            print(f"{size:>8,}  {name:12}", result, f"  report {page:.2f} MB", flush=True)
    if args.kill:
        size = max(args.sizes)
        whole, out = folder / f"scores-{size}", folder / "killed"
        done = killed(score(folder, size, out), out, folder / "killed.log")
        result = took(score(folder, size, out), folder / "again.log")
        same = all((out / name).read_bytes() == (whole / name).read_bytes() for name in TABLES)
        print(f"{size:>8,}  killed after {done} shards, then", result, "  same bytes:", same)


if __name__ == "__main__":
    main()
