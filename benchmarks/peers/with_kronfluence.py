"""Kronfluence's part in the comparison: pairwise scores, plain ("identity") or by EK-FAC.

It gets the same batches as assay: its data set is one of finished batches, in the order of length. Its task
reads logits and draws labels only where a token is learned, which saves it half of the work at the head's
output. Damping is its heuristic, 0.1 of the mean eigenvalue of each layer, which is assay's.
"""

import logging
from pathlib import Path

import numpy as np
import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from kronfluence.utils.dataset import DataLoaderKwargs
from stored import Call, Clock, Group
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

Batch = dict[str, Tensor]


def main() -> None:
    call, clock = Call.read(), Clock()
    candidates, queries = call.groups()
    queries = together(queries)
    analyzer = analyzer_of(call.model(), call.result)
    plain, ekfac = FactorArguments(strategy="identity"), FactorArguments(strategy="ekfac")
    named(analyzer, "identity", plain)
    scored(analyzer, "identity", candidates.first(2), queries, Clock())
    if call.work == "ekfac":
        fitted(analyzer, "ekfac", ekfac, candidates, clock)
    factors = "ekfac" if call.work == "ekfac" else "identity"
    call.leave(clock, scored(analyzer, factors, candidates, queries, clock))


class LanguageModelling(Task):
    """The loss is the sum of −log p over learned tokens, with their own labels or drawn ones."""

    def __init__(self, layers: list[str]) -> None:
        self.layers = layers

    def compute_train_loss(self, batch: Batch, model: nn.Module, sample: bool = False) -> Tensor:
        logits = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
        ).logits[:, :-1]
        labels = batch["labels"][:, 1:]
        learned = labels != -100
        logits, labels = logits[learned], labels[learned]
        if sample:
            labels = torch.multinomial(logits.detach().softmax(-1), 1).squeeze(-1)
        return cross_entropy(logits, labels, reduction="sum")

    def compute_measurement(self, batch: Batch, model: nn.Module) -> Tensor:
        return self.compute_train_loss(batch, model)

    def get_influence_tracked_modules(self) -> list[str]:
        return self.layers

    def get_attention_mask(self, batch: Batch) -> Tensor:
        return batch["attention_mask"]


class Batches(torch.utils.data.Dataset):
    """Finished batches as rows of a data set."""

    def __init__(self, group: Group) -> None:
        self.batches = group.padded()

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch:
        return self.batches[index]


OWN_BATCHES = DataLoaderKwargs(collate_fn=lambda rows: rows[0])


def analyzer_of(model: nn.Module, folder: Path) -> Analyzer:
    """An analyzer of the LoRA layers that writes to `folder`/analysis."""
    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and ("lora_A" in name or "lora_B" in name)
    ]
    task = LanguageModelling(layers)
    return Analyzer(
        analysis_name="analysis",
        model=prepare_model(model, task),
        task=task,
        cpu=True,
        disable_tqdm=True,
        log_level=logging.ERROR,
        output_dir=str(folder),
    )


def together(group: Group) -> Group:
    """A group as one batch: Kronfluence goes over the candidates once for each batch of queries."""
    return Group(group.rows, [list(range(len(group.rows)))])


def named(analyzer: Analyzer, factors: str, arguments: FactorArguments) -> Path:
    """The folder of a set of factors that is not fitted here; only its arguments are written."""
    folder = analyzer.factors_output_dir(factors)
    analyzer._configure_and_save_factor_args(arguments, folder, overwrite_output_dir=True)
    return folder


def fitted(analyzer: Analyzer, factors: str, arguments: FactorArguments, group: Group, clock: Clock) -> None:
    """A set of factors on a group."""
    each = {"factors_name": factors, "factor_args": arguments, "overwrite_output_dir": True}
    with clock.stage("covariances"):
        analyzer.fit_covariance_matrices(**each, **loading(group))
    with clock.stage("eigen"):
        analyzer.perform_eigendecomposition(**each)
    with clock.stage("moments"):
        analyzer.fit_lambda_matrices(**each, **loading(group))


def loading(group: Group) -> dict:
    return {"dataset": Batches(group), "per_device_batch_size": 1, "dataloader_kwargs": OWN_BATCHES}


def scored(analyzer: Analyzer, factors: str, group: Group, queries: Group, clock: Clock) -> np.ndarray:
    """Pairwise scores by a set of factors, (candidates, queries), in the order of the rows."""
    with clock.stage("scores"):
        analyzer.compute_pairwise_scores(
            scores_name=factors,
            factors_name=factors,
            score_args=ScoreArguments(damping_factor=None),
            query_dataset=Batches(queries),
            train_dataset=Batches(group),
            per_device_query_batch_size=1,
            per_device_train_batch_size=1,
            dataloader_kwargs=OWN_BATCHES,
            overwrite_output_dir=True,
        )
    found = analyzer.load_pairwise_scores(factors)["all_modules"]
    ordered = torch.empty_like(found)
    ordered[np.ix_(queries.order, group.order)] = found
    return ordered.T.double().numpy()


if __name__ == "__main__":
    main()
