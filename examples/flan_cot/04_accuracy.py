"""How often each checkpoint's most likely completion is exactly the query's answer, by task.

    python 04_accuracy.py --base RUNS/base --sft RUNS/sft --queries RUNS/files/eval.jsonl

An answer counts as given when each of its tokens is the most likely one after the tokens before it, which is
what greedy generation would write. Says how good the model of the example is; the study does not need it.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import torch
from corpus import read_jsonl
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


@torch.no_grad()
def answered(model, tokenizer, messages: list[dict]) -> bool:
    """Whether greedy generation after the question would write the answer."""
    prompt = tokenizer.apply_chat_template(
        messages[:-1], add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )["input_ids"]
    answer = tokenizer(messages[-1]["content"] + tokenizer.eos_token, return_tensors="pt")["input_ids"]
    logits = model(input_ids=torch.cat([prompt, answer], dim=1)).logits
    return torch.equal(logits[:, prompt.shape[1] - 1 : -1].argmax(-1), answer)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--sft", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.base)
    queries = read_jsonl(args.queries)
    total = Counter(query["task"] for query in queries)
    answers = Counter((query["task"], query["messages"][-1]["content"]) for query in queries)
    constant = {
        task: max(count for (owner, _), count in answers.items() if owner == task) / total[task]
        for task in total
    }
    print(json.dumps({"step": "the most common answer always", **constant}), flush=True)
    steps = sorted(int(folder.name.split("-")[1]) for folder in args.sft.glob("checkpoint-*"))
    for step in [0, *steps]:
        model = AutoModelForCausalLM.from_pretrained(args.base, dtype="float32").eval()
        if step:
            model = PeftModel.from_pretrained(model, args.sft / f"checkpoint-{step}").eval()
        right = Counter(query["task"] for query in queries if answered(model, tokenizer, query["messages"]))
        share = {task: round(right[task] / total[task], 3) for task in total}
        share["all"] = round(sum(right.values()) / len(queries), 3)
        print(json.dumps({"step": step, **share}), flush=True)


if __name__ == "__main__":
    main()
