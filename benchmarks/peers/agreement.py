"""Holds EK-FAC to Kronfluence's: same factors give the same scores, same labels the same factors.

    python benchmarks/peers/agreement.py --peers .venv-peers/bin/python

On a small random Llama with LoRA, fp32, damping 0.1 of the mean eigenvalue, ‖ours − theirs‖F / ‖theirs‖F of
- scores by assay's factors (labels drawn from the model), given to Kronfluence in its own files;
- scores by Kronfluence's factors (labels of the data), read into assay;
- Λ that both measure with the labels of the data in assay's eigenvectors;
- Σ l lᵀ, the covariance of the gradients of outputs, that both measure with these labels, at trace 1.
Exits with 1 where one exceeds 1e-4. Both take Λ as a mean over examples and damp by 0.1 of its mean, layer by
layer, and gradients are sums over learned tokens. What they define differently:
- Σ r rᵀ: Kronfluence counts the inputs of all tokens but padding, assay's those that carry gradient (without
  each example's last token, and in the last MLP without the prompt); the distance is printed as "inputs".
- Scale of the covariances, which EK-FAC does not use: Kronfluence divides both by all tokens but padding,
  assay Σ l lᵀ by examples and Σ r rᵀ by tokens that carry gradient; and assay counts LoRA's α/r to the inputs
  of B, Kronfluence to the gradients.
- `assay score` divides scores by the number of candidates, Kronfluence does not; here neither does.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from safetensors.torch import load_file
from stored import Call, Clock, Group
from torch import Tensor
from with_assay import fitted, scored, tokens
from write import Size, write

from assay.gradients import Batch, Engine
from assay.gradients.curvature import (
    Basis,
    Covariances,
    Curvature,
    Moments,
    layout,
    save_curvature,
)
from assay.gradients.rules import Contribution

SIZE = Size(vocabulary=1000, candidates=32, queries=6, hidden=64, layers=2)
TOLERANCE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, required=True, help="Python with Kronfluence installed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = errors(options.peers, Path(folder))
    failed = [name for name, error in found.items() if name != "inputs" and not error <= TOLERANCE]
    print(json.dumps({name: f"{error:.1e}" for name, error in found.items()}, indent=1, ensure_ascii=False))
    if failed:
        sys.exit(f"{', '.join(failed)}: farther than {TOLERANCE} from Kronfluence's.")


def errors(peers: Path, folder: Path) -> dict[str, float]:
    """Relative distances by what is compared."""
    call = Call(write(folder, SIZE), "ekfac", folder / "result")
    call.result.mkdir()
    model = call.model()
    candidates, queries = call.groups()
    ours = fitted(model, candidates, Clock())
    save_curvature(call.result / "curvature.safetensors", ours, "agreement")
    given = [str(Path(__file__).with_name("given.py")), str(call.fixture), call.work, str(call.result)]
    subprocess.run([str(peers), *given], check=True, env={**os.environ, "PYTHONPATH": ""})
    left, right, squares = by_label(model, candidates, ours)
    theirs = read(call.result / "analysis")
    by_theirs = scored(model, candidates, queries, Clock(), kronfluence_curvature(ours, theirs).inverse())
    by_ours = scored(model, candidates, queries, Clock(), ours.inverse())
    lambdas = theirs["basis"]["lambda_matrix"]
    gradients, inputs = (theirs["labels"][f"{side}_covariance"] for side in ("gradient", "activation"))
    return {
        "scores by our factors": distance([by_ours], [np.load(call.result / "given.npy")]),
        "scores by their factors": distance([by_theirs], [np.load(call.result / "labels.npy")]),
        "Λ": distance(squares.values(), (lambdas[name] for name in squares)),
        "Σ l lᵀ": distance(map(shape, left.values()), (shape(gradients[name]) for name in left)),
        "inputs": distance(map(shape, right.values()), (shape(inputs[name]) for name in right)),
    }


def by_label(
    model: PeftModel, group: Group, found: Curvature
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """L, R and, in the eigenvectors of `found`, Σ (Q_Lᵀ G Q_R)², by layer, with the labels of the data."""
    members = tokens(group)
    with Engine(model) as engine:
        engine.check(members)
        plan = layout(engine, "ekfac")
        covariances = Covariances.zeros(plan, engine.device)
        moments = Moments.zeros(plan.shapes, found.bases, engine.device)
        for rows in group.batches:
            batch = Batch.of([members[row] for row in rows], engine.device)
            for sums in (covariances, moments):
                engine.run(batch, partial(take, sums, len(batch)))
                sums.examples += len(batch)
    pairs = {layer(name): covariances.pair(name) for name in plan.factored}
    left, right = ({name: getattr(pair, side) for name, pair in pairs.items()} for side in ("left", "right"))
    return left, right, {layer(name): moments.mean(name) * moments.examples for name in plan.factored}


def take(sums: Covariances | Moments, examples: int, name: str, parts: list[Contribution]) -> None:
    sums.take(name, parts, examples)


def read(folder: Path) -> dict[str, dict[str, dict[str, Tensor]]]:
    """Kronfluence's factors: by set, then what they are, then layer."""
    return {
        each.name.removeprefix("factors_"): {
            file.stem: load_file(file) for file in each.glob("*.safetensors")
        }
        for each in folder.glob("factors_*")
    }


def kronfluence_curvature(ours: Curvature, theirs: dict[str, dict[str, dict[str, Tensor]]]) -> Curvature:
    """Kronfluence's `labels` factors as a curvature of the same parameters."""
    found = theirs["labels"]

    def basis(name: str) -> Basis:
        sides = ("gradient_eigenvectors", "activation_eigenvectors")
        values = ("gradient_eigenvalues", "activation_eigenvalues")
        return Basis(*(found[part][layer(name)] for part in (*sides, *values)))

    eigenvalues = {
        name: found["lambda_matrix"][layer(name)].double() / found["num_lambda_processed"][layer(name)]
        for name in ours.eigenvalues
    }
    return Curvature(ours.layout, eigenvalues, {name: basis(name) for name in ours.bases}, ours.examples)


def layer(parameter: str) -> str:
    return parameter.removesuffix(".weight")


def shape(covariance: Tensor) -> Tensor:
    return covariance.double() / covariance.double().trace()


def distance(ours: Iterable[Tensor | np.ndarray], theirs: Iterable[Tensor | np.ndarray]) -> float:
    """‖ours − theirs‖F / ‖theirs‖F over arrays together, float64."""
    both = zip(ours, theirs, strict=True)
    pairs = [(torch.as_tensor(a).double(), torch.as_tensor(b).double()) for a, b in both]
    off = sum(float((a - b).square().sum()) for a, b in pairs)
    return (off / sum(float(b.square().sum()) for _, b in pairs)) ** 0.5


if __name__ == "__main__":
    main()
