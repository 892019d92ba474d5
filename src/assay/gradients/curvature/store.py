"""A curvature, or the sums on the way to one, in a file of safetensors that names what it depends on."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from assay.errors import ResumeError
from assay.files import write_atomically
from assay.gradients.curvature.curvature import Curvature
from assay.gradients.curvature.eigen import Basis
from assay.gradients.curvature.layout import Layout

PARTS = ("left", "right", "left_values", "right_values")


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], fingerprint: str, about: Mapping[str, str] | None = None
) -> None:
    """Write tensors whole or not at all, with the fingerprint of everything they depend on."""
    plain = {name: values.detach().cpu().contiguous() for name, values in tensors.items()}
    metadata = {**(about or {}), "fingerprint": fingerprint}
    write_atomically(path, lambda temporary: save_file(plain, temporary, metadata=metadata))


def load_tensors(path: Path, fingerprint: str) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """The tensors of a file and what is said about them; None where there is no file or it is broken.

    Raises ResumeError for a whole file with another fingerprint.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
            if about.get("fingerprint") != fingerprint:
                raise ResumeError(
                    f"{path} was measured with another model, other data or other options; "
                    "give another --out, or delete it."
                )
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
    except (SafetensorError, OSError, ValueError):
        return None


def save_curvature(path: Path, curvature: Curvature, fingerprint: str) -> None:
    """Write a curvature; `load_curvature` gives it back to the bit."""
    tensors = {f"eigenvalues/{name}": values for name, values in curvature.eigenvalues.items()}
    for name, basis in curvature.bases.items():
        tensors |= {f"{part}/{name}": getattr(basis, part) for part in PARTS}
    plan = curvature.layout
    about = {
        "kind": plan.kind,
        "examples": curvature.examples,
        "precision": str(plan.precision).removeprefix("torch."),
        "factored": plan.factored,
        "diagonal": plan.diagonal,
    }
    save_tensors(path, tensors, fingerprint, {"curvature": json.dumps(about)})


def load_curvature(path: Path, fingerprint: str, device: torch.device) -> Curvature | None:
    """The curvature in a file; None where there is none or it is broken.

    Raises ResumeError as `load_tensors` does.
    """
    found = load_tensors(path, fingerprint)
    if found is None:
        return None
    try:
        tensors = {name: values.to(device) for name, values in found[0].items()}
        about = json.loads(found[1]["curvature"])
        factored, diagonal = (
            {name: tuple(shape) for name, shape in about[part].items()} for part in ("factored", "diagonal")
        )
        plan = Layout(about["kind"], factored, diagonal, getattr(torch, about["precision"]))
        return Curvature(
            plan,
            {name: tensors[f"eigenvalues/{name}"] for name in plan.shapes},
            {name: Basis(*(tensors[f"{part}/{name}"] for part in PARTS)) for name in plan.factored},
            about["examples"],
        )
    except (KeyError, ValueError, AttributeError):
        return None
