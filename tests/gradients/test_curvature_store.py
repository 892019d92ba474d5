"""A curvature in a file is whole or absent, and never taken for another one's."""

from pathlib import Path

import pytest
import torch

from assay.errors import ResumeError
from assay.gradients import Engine
from assay.gradients.batch import Batch
from assay.gradients.curvature import (
    Covariances,
    Curvature,
    Kind,
    fit,
    layout,
    load_curvature,
    load_tensors,
    observe,
    save_curvature,
    save_tensors,
)
from tests.gradients.models import examples, family, with_lora

CPU = torch.device("cpu")


def fitted(kind: Kind) -> Curvature:
    tokens = examples(3)
    with Engine(with_lora(family("llama"), "llama", bias="lora_only")) as engine:
        return fit(engine, tokens, kind)


@pytest.mark.parametrize("kind", ["ekfac", "kfac", "diagonal"])
def test_what_is_loaded_is_what_was_saved_to_the_bit(kind: Kind, tmp_path: Path) -> None:
    saved = fitted(kind)
    save_curvature(tmp_path / "curvature.safetensors", saved, "abc")
    loaded = load_curvature(tmp_path / "curvature.safetensors", "abc", CPU)
    assert loaded is not None
    assert loaded.layout == saved.layout
    assert (loaded.examples, loaded.flat, loaded.sentence()) == (3, saved.flat, saved.sentence())
    for name, values in saved.eigenvalues.items():
        assert torch.equal(loaded.eigenvalues[name], values)
        gradients = torch.randn(2, values.numel())
        for power in ("inverse", "inverse_root", "whitening"):
            ours, theirs = (getattr(each, power)(0.2)(name, gradients) for each in (saved, loaded))
            assert torch.equal(ours, theirs)


def test_a_curvature_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "curvature.safetensors"
    save_curvature(path, fitted("kfac"), "abc")
    with pytest.raises(ResumeError, match=r"curvature\.safetensors"):
        load_curvature(path, "abd", CPU)


def test_a_missing_or_broken_file_counts_as_absent(tmp_path: Path) -> None:
    path = tmp_path / "curvature.safetensors"
    assert load_curvature(path, "abc", CPU) is None
    save_curvature(path, fitted("ekfac"), "abc")
    whole = path.read_bytes()
    for part in (b"", b"no tensors", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(part)
        assert load_curvature(path, "abc", CPU) is None
    save_tensors(path, {"else": torch.ones(1)}, "abc")
    assert load_curvature(path, "abc", CPU) is None


def test_sums_go_on_from_a_file_to_the_identical_result(tmp_path: Path) -> None:
    path, tokens = tmp_path / "sums.safetensors", examples(4)
    with Engine(with_lora(family("llama"), "llama")) as engine:
        plan = layout(engine, "ekfac")
        first, second = (Batch.of(part, CPU) for part in (tokens[:2], tokens[2:]))
        whole = Covariances.zeros(plan, CPU)
        observe(engine, first, 0, whole)
        save_tensors(path, whole.tensors(), "abc", {"batches": "1"})
        observe(engine, second, 0, whole)
        found = load_tensors(path, "abc")
        assert found is not None
        assert found[1]["batches"] == "1"
        resumed = Covariances.from_tensors(found[0], CPU)
        observe(engine, second, 0, resumed)
    assert whole.tensors().keys() == resumed.tensors().keys()
    assert all(torch.equal(values, resumed.tensors()[name]) for name, values in whole.tensors().items())
