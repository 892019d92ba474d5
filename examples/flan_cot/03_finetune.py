"""Fine-tunes the base model with LoRA by TRL's SFTTrainer and saves a checkpoint every few steps.

    python 03_finetune.py --base RUNS/base --train RUNS/files/base.jsonl --out RUNS/sft

Follows the paper (arXiv 2502.13514) in data size, batch, schedule and the adapted layers (the MLP's up and
down projections, alpha = 8 r). The learning rate does not: 1e-5 suits 7 billion parameters, not 10 million.
"""

import argparse
from pathlib import Path

from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=True, help="folder that 01_pretrain.py wrote")
    parser.add_argument("--train", type=Path, required=True, help="base.jsonl that 02_make_data.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--steps", type=int, default=600, help="optimizer steps of 32 examples; 200 are one epoch"
    )
    parser.add_argument("--every", type=int, default=50, help="steps between checkpoints")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    args = parser.parse_args()

    dataset = load_dataset("json", data_files=str(args.train), split="train").select_columns(
        ["prompt", "completion"]
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(args.base, dtype="float32"),
        processing_class=AutoTokenizer.from_pretrained(args.base),
        train_dataset=dataset,
        peft_config=LoraConfig(
            task_type="CAUSAL_LM",
            r=16,
            lora_alpha=128,
            lora_dropout=0.0,
            target_modules=["up_proj", "down_proj"],
        ),
        args=SFTConfig(
            output_dir=str(args.out),
            max_steps=args.steps,
            per_device_train_batch_size=8,
            gradient_accumulation_steps=4,
            learning_rate=args.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=10,
            save_steps=args.every,
            logging_steps=10,
            max_length=512,
            bf16=True,
            gradient_checkpointing=False,
            use_cpu=args.device == "cpu",
            report_to="none",
            seed=0,
        ),
    )
    trainer.model.print_trainable_parameters()
    trainer.train(resume_from_checkpoint=args.resume)


if __name__ == "__main__":
    main()
