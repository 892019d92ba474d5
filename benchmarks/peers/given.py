"""Kronfluence's half of `agreement.py`: its scores by factors given to it, and factors of its own to be met.

    python given.py FIXTURE ekfac RESULT

RESULT/curvature.safetensors is assay's: eigenvectors `left/…` (of the gradients of outputs) and `right/…`
(of inputs), Λ as `eigenvalues/…`. Three sets of factors are written under RESULT/analysis, in Kronfluence's
files: `given`, assay's; `basis`, assay's eigenvectors and Λ measured by Kronfluence with the labels of the
data; `labels`, all of it measured by Kronfluence with these labels. Scores by `given` and `labels` are left
beside.
"""

import numpy as np
import torch
from kronfluence.arguments import FactorArguments
from kronfluence.factor.eigen import save_eigendecomposition, save_lambda_matrices
from safetensors.torch import load_file
from stored import Call, Clock
from torch import Tensor
from with_kronfluence import analyzer_of, fitted, loading, named, scored, together


def main() -> None:
    call = Call.read()
    candidates, queries = call.groups()
    queries = together(queries)
    analyzer = analyzer_of(call.model(), call.result)
    sampled = FactorArguments(strategy="ekfac")
    by_label = FactorArguments(strategy="ekfac", use_empirical_fisher=True)
    tensors = load_file(call.result / "curvature.safetensors")
    for name, arguments in (("given", sampled), ("basis", by_label)):
        folder = named(analyzer, name, arguments)
        save_eigendecomposition(folder, eigendecomposition(tensors))
        if name == "given":
            save_lambda_matrices(folder, lambdas(tensors))
    analyzer.fit_lambda_matrices(factors_name="basis", factor_args=by_label, **loading(candidates))
    fitted(analyzer, "labels", by_label, candidates, Clock())
    for name in ("given", "labels"):
        np.save(call.result / f"{name}.npy", scored(analyzer, name, candidates, queries, Clock()))


def eigendecomposition(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    return {
        "activation_eigenvectors": of_layers(tensors, "right"),
        "activation_eigenvalues": of_layers(tensors, "right_values"),
        "gradient_eigenvectors": of_layers(tensors, "left"),
        "gradient_eigenvalues": of_layers(tensors, "left_values"),
    }


def lambdas(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Λ as it is, the mean over examples, and a count of one to divide it by."""
    means = of_layers(tensors, "eigenvalues")
    return {
        "lambda_matrix": means,
        "num_lambda_processed": {name: torch.ones(1, dtype=torch.int64) for name in means},
    }


def of_layers(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """Tensors of one part by layer: a parameter's name without its `.weight`."""
    return {
        name.removeprefix(f"{part}/").removesuffix(".weight"): values
        for name, values in tensors.items()
        if name.startswith(f"{part}/")
    }


if __name__ == "__main__":
    main()
