"""`assay score`, `select` and `methods` as a person meets them: what they print, and what they refuse."""

import json
import shlex
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.cli.conftest import Assay, Said
from tests.cli.test_complaints import FILES, text
from tests.runs.lab import Lab

UNLABELLED = "unlabelled-beside-labelled"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def score(assay: Assay, lab: Lab, out: Path, *more: object) -> Said:
    """The command with a method, checkpoints, candidates and queries, unless `more` gives others."""
    usual = {
        "--method": "graddot",
        "--checkpoints": lab.run,
        "--candidates": lab.base,
        "--queries": lab.queries,
    }
    given = [part for option, value in usual.items() if option not in more for part in (option, value)]
    return assay("score", *given, "--out", out, *more)


def test_scores_are_chosen_from_and_written_back(lab: Lab, assay: Assay, out: Path) -> None:
    found = score(assay, lab, out, "--method", "gradcos", "--method", "length")
    assert found.code == 0
    assert "gradcos" in found.out
    assert "about" in found.err  # time and memory, said before
    assert f"Next: assay select --scores {out} --method gradcos --rule top --budget 50%" in found.out
    chosen = assay("select", "--scores", out, "--rule", "top", "--budget", "6", "--method", "gradcos")
    assert chosen.code == 0
    assert "Kept 6 of 18" in chosen.out
    assert len((out / "selection" / "kept" / "base.jsonl").read_text().splitlines()) == 6
    assert (out / "selection" / "report.html").is_file()


def test_a_bare_model_says_which_examples_teach_their_neighbours(lab: Lab, assay: Assay, out: Path) -> None:
    model = ("--base-model", lab.model, "--candidates", lab.base, "--out", out)
    found = assay("score", "--method", "wici", *model, "--neighbours", "6", "--clusters", "2")
    assert found.code == 0
    assert "Demonstrations made their queries easier in" in found.err
    assert f"Next: assay select --scores {out} --method wici --rule diverse --budget 10%" in found.out
    chosen = assay("select", "--scores", out, "--rule", "diverse", "--budget", "10%", "--threshold", "0.99")
    assert chosen.code == 0
    assert "passed over as too much alike" in chosen.out


@pytest.mark.parametrize(
    ("more", "by"),
    [
        ((), "--method graddot --rule top"),
        (("--queries", "a b={queries}", "--queries", "c={queries}"), "--query-set 'a b' --rule top"),
        (("--queries", "correct={queries}", "--queries", "incorrect={queries}"), "graddot --rule combined"),
    ],
)
def test_what_is_said_to_come_next_can_be_done(
    lab: Lab, assay: Assay, out: Path, more: tuple[str, ...], by: str
) -> None:
    found = score(assay, lab, out, *(part.format(queries=lab.queries) for part in more))
    (said,) = [line for line in found.out.splitlines() if line.startswith("Next: assay ")]
    assert by in said
    assert assay(*shlex.split(said.removeprefix("Next: assay "))).code == 0


def test_options_of_other_rules_are_refused(lab: Lab, assay: Assay, out: Path) -> None:
    assert score(assay, lab, out).code == 0
    chosen = assay("select", "--scores", out, "--rule", "round_robin", "--budget", "6", "--turns", "task")
    assert "Each of 3 tasks in turn" in chosen.out
    for more, said in (
        (("--rule", "top", "--turns", "query"), "top does not go by --turns; it belongs to round_robin."),
        (("--rule", "combined", "--query-set", "dev"), "combined does not go by --query-set; it belongs"),
        (("--rule", "balance", "--by", "size"), "--by: input should be 'task' or 'source'"),
    ):
        refused = assay("select", "--scores", out, "--budget", "6", *more)
        assert refused.code == 2
        assert said in refused.complaint


def test_methods_are_listed_and_explained(assay: Assay) -> None:
    assert "ekfac" in assay("methods").out
    told = assay("methods", "less").out
    assert "2402.04333" in told
    assert "did you mean ekfac" in assay("methods", "ekfak").complaint


@pytest.mark.parametrize(
    ("role", "kind"),
    [(role, kind) for role in ("--candidates", "--queries") for kind in FILES if kind != UNLABELLED],
)
def test_a_file_that_cannot_be_used(
    kind: str, role: str, lab: Lab, assay: Assay, tmp_path: Path, out: Path
) -> None:
    content, named = FILES[kind]
    found = score(assay, lab, out, role, text(tmp_path / "bad.jsonl", content))
    assert found.code == 2
    assert named in found.complaint
    assert "bad" in found.complaint
    assert not (out / "scores.parquet").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--method", "graddott"), "did you mean graddot"),
        (("--checkpoints", "nowhere"), "nowhere"),
        (("--steps", "3"), "3"),
        (("--steps", "two"), "whole numbers"),
        (("--project", "-4"), "--project"),
        (("--project", "often"), "--project"),
        (("--damping", "0"), "--damping"),
        (("--damping", "0.5"), "--damping needs a method by curvature"),
        (("--exact",), "--exact needs the method less"),
        (("--max-new-tokens", "8"), "--max-new-tokens needs questions (--questions FILE)"),
        (("--queries", "a=x.jsonl", "--queries", "a=y.jsonl"), "given twice"),
        (("--query-loss-on", "first"), "--query-loss-on"),
        (("--tasks", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_an_option_that_cannot_be(
    lab: Lab, assay: Assay, out: Path, more: tuple[str, ...], said: str
) -> None:
    found = score(assay, lab, out, *more)
    assert found.code == 2
    assert said in found.complaint
    assert not (out / "scores.parquet").exists()


def test_what_is_missing_is_named(lab: Lab, assay: Assay, out: Path) -> None:
    assert "--method NAME" in assay("score", "--out", out).complaint
    assert (
        "--queries FILE"
        in assay(
            *("score", "--method", "ekfac", "--checkpoints", lab.run, "--candidates", lab.base, "--out", out)
        ).complaint
    )
    assert "--budget" in assay("select", "--scores", out, "--rule", "top").complaint


def test_a_model_that_has_diverged_names_the_example(
    lab: Lab, assay: Assay, tmp_path: Path, out: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(lab.run, run)
    path = run / "checkpoint-6" / "adapter_model.safetensors"
    weights = load_file(path)
    save_file({name: torch.full_like(w, float("nan")) for name, w in weights.items()}, path)
    found = score(assay, lab, out, "--checkpoints", run)
    assert found.code == 2
    assert "not finite" in found.complaint
    assert not (out / "scores.parquet").exists()


def test_tokens_of_another_tokenizer_are_refused(lab: Lab, assay: Assay, tmp_path: Path, out: Path) -> None:
    row = {"input_ids": [5, 6, 100_000], "labels": [-100, 6, 100_000]}
    found = score(assay, lab, out, "--queries", text(tmp_path / "tokens.jsonl", json.dumps(row) + "\n"))
    assert found.code == 2
    assert "tokens.jsonl" in found.complaint
    assert "100000" in found.complaint.replace(",", "")


def test_a_folder_of_fsdp_says_what_to_do(lab: Lab, assay: Assay, tmp_path: Path, out: Path) -> None:
    run = tmp_path / "run" / "checkpoint-2"
    (run / "pytorch_model_fsdp_0").mkdir(parents=True)
    (run / "trainer_state.json").write_text('{"global_step": 2}')
    found = score(assay, lab, out, "--checkpoints", run.parent)
    assert found.code == 2
    assert "accelerate merge-weights" in found.complaint


def test_adams_moments_of_fsdp_are_refused_for_less(
    lab: Lab, assay: Assay, tmp_path: Path, out: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(lab.run, run)
    for folder in run.glob("checkpoint-*"):
        (folder / "optimizer.pt").rename(folder / "optimizer.bin")
    found = score(assay, lab, out, "--checkpoints", run, "--method", "less")
    assert found.code == 2
    assert "FSDP" in found.complaint
    assert "tracin" in found.complaint


def test_a_row_of_scores_can_be_traced_to_its_file(lab: Lab, assay: Assay, out: Path) -> None:
    assert score(assay, lab, out).code == 0
    lines = lab.base.read_text().splitlines()
    for row in pq.read_table(out / "scores.parquet").to_pylist()[::17]:
        assert json.loads(lines[row["source_row"] - 1])["id"] == row["candidate_id"]
