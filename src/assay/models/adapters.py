"""A PEFT adapter on a base model whose weights are swapped in place. Knows nothing of runs or of scoring."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn

from assay.errors import ModelError
from assay.fingerprint import fingerprint
from assay.models.bases import read_adapter_config
from assay.models.folders import Weights
from assay.models.loading import quiet
from assay.models.placing import copy_tensors, require_same_tensors
from assay.models.weights import stored_shapes, tensors

PREFIX = "base_model.model."
NOT_COMPUTED_WITH = {
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "lora_dropout",
    "peft_version",
    "revision",
    "task_type",
}


class Adapter:
    """An adapter's structure on a base model; `load` brings in the weights of one checkpoint after another.

    `model` is the PeftModel, in eval mode, with gradients required exactly for what PEFT trains under this
    configuration: LoRA factors (and DoRA magnitudes), `modules_to_save`, `trainable_token_indices`, biases.
    """

    def __init__(
        self,
        model: Any,
        targets: Mapping[str, Tensor],
        base_parameters: Sequence[nn.Parameter],
        config: Mapping[str, Any],
    ) -> None:
        """`targets` maps the names used in adapter files to the model's live tensors."""
        self.model = model
        self.config = dict(config)
        self._targets = dict(targets)
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._base = [parameter for parameter in base_parameters if parameter.is_floating_point()]
        own = {parameter.data_ptr() for parameter in base_parameters}
        self._originals = {
            name: tensor.clone() for name, tensor in targets.items() if tensor.data_ptr() in own
        }

    @classmethod
    def attach(cls, base: Any, weights: Weights, *, dtype: torch.dtype | None) -> "Adapter":
        """Wrap `base` in the structure that the folder of `weights` describes; the weights are still fresh.

        Embeddings that the adapter stores give the base their number of rows. `dtype` None keeps adapters in
        fp32 on a half-precision base, as PEFT trains them. Raises ModelError.
        """
        folder = weights.folder
        config = read_adapter_config(folder)
        structure = _peft_config(folder)
        _resize_embeddings(base, weights)
        base_parameters = list(base.parameters())
        try:
            with quiet():
                model = get_peft_model(base, structure, autocast_adapter_dtype=dtype is None)
        except (ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
            raise ModelError(f"The adapter in {folder} does not fit its base model: {error}") from error
        if dtype is not None:
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.data = parameter.data.to(dtype)
        model.eval()
        return cls(model, _targets(model, weights), base_parameters, config)

    def load(self, weights: Weights) -> None:
        """Copy a checkpoint's adapter in place; where its structure differs ModelError, and nothing moves."""
        self._require_same_structure(weights.folder)
        require_same_tensors(str(weights.folder), stored_shapes(weights.files), self._targets)
        copy_tensors(tensors(weights.files), self._targets)

    @property
    def structure_digest(self) -> str:
        """Digest of what the configuration computes with, wherever the base lies."""
        return fingerprint({key: self.config[key] for key in self.config.keys() - NOT_COMPUTED_WITH})

    @torch.no_grad()
    def switch(self, on: bool) -> None:
        """On: the adapter computes and is what is trained. Off: the base as it was, all of it trained."""
        if on:
            self.model.base_model.enable_adapter_layers()
        else:
            for name, tensor in self._originals.items():
                self._targets[name].copy_(tensor)
            with quiet():  # PEFT warns of trained biases, which were put back just now
                self.model.base_model.disable_adapter_layers()
        self.model.requires_grad_(False)
        for parameter in self._trained if on else self._base:
            parameter.requires_grad_(True)

    def _require_same_structure(self, folder: Path) -> None:
        theirs = read_adapter_config(folder)
        for field in sorted((self.config.keys() | theirs.keys()) - NOT_COMPUTED_WITH):
            ours, other = _comparable(self.config.get(field)), _comparable(theirs.get(field))
            if ours != other:
                raise ModelError(
                    f"The adapter in {folder} was made with {field}={other}, the first with {ours}; the "
                    "checkpoints of a trajectory must be of one run."
                )


def _peft_config(folder: Path) -> Any:
    try:
        with quiet():  # a newer PEFT may have added fields
            config = PeftConfig.from_pretrained(str(folder))
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"The adapter_config.json in {folder} is not one that PEFT understands: {error}"
        ) from error
    if config.is_prompt_learning:
        raise ModelError(
            f"The adapter in {folder} is of type {config.peft_type.value}, which trains inputs, not weights; "
            "LoRA and its kin are supported."
        )
    config.inference_mode = False
    return config


def _targets(model: Any, weights: Weights) -> dict[str, Tensor]:
    """Names in the adapter's files → live tensors, with the embeddings where the files hold them."""
    targets: dict[str, Tensor] = dict(get_peft_model_state_dict(model, save_embedding_layers=False))
    state = model.state_dict()
    for name in stored_shapes(weights.files):
        if name not in targets and name in state and _is_embedding(model, name):
            targets[name] = state[name]
    return targets


def _resize_embeddings(base: Any, weights: Weights) -> None:
    """Give the base as many rows as the adapter stores for its embeddings, as after added tokens."""
    rows = base.get_input_embeddings().weight.shape[0]
    stored = {
        shape[0]
        for name, shape in stored_shapes(weights.files).items()
        if len(shape) == 2 and "lora_" not in name and _is_embedding(base, name)
    }
    if len(stored) > 1:
        raise ModelError(
            f"The adapter in {weights.folder} stores embeddings of different sizes: {sorted(stored)}."
        )
    if stored and stored != {rows}:
        base.resize_token_embeddings(stored.pop(), mean_resizing=False)


def _is_embedding(model: Any, stored_name: str) -> bool:
    """Whether a name of an adapter file means the input or output embedding itself."""
    name = stored_name.removeprefix(PREFIX).replace(".base_layer.", ".")
    embeddings = (model.get_input_embeddings(), model.get_output_embeddings())
    return any(
        name == f"{path.removeprefix(PREFIX).removesuffix('.base_layer')}.weight"
        for path, module in model.named_modules()
        if any(module is embedding for embedding in embeddings)
    )


def _comparable(value: Any) -> Any:
    """Lists without their order, and None for all that means "not used", in which versions of PEFT differ."""
    return (sorted(map(str, value)) if isinstance(value, list) else value) or None
