"""One model in memory onto which the weights of a trajectory's checkpoints are moved, one after another.

The base is loaded once. Knows nothing of data, gradients or studies.
"""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from assay.errors import ConfigError, ModelError
from assay.fingerprint import digest, fingerprint
from assay.models.adapters import Adapter
from assay.models.bases import read_adapter_config
from assay.models.folders import ADAPTER, ADAPTER_CONFIG, Weights, find_weights
from assay.models.four_bits import count, has_four_bits
from assay.models.hub import fetch
from assay.models.loading import Quantize, load_model, load_tokenizer, quiet, resolve_device, resolve_dtype
from assay.models.placing import copy_tensors, require_same_tensors
from assay.models.position import CHECKPOINT
from assay.models.trajectory import Checkpoint, Trajectory
from assay.models.weights import content_digest, stored_shapes, tensors

NOT_ARCHITECTURE = {"_name_or_path", "dtype", "torch_dtype", "transformers_version", "use_cache"}


@dataclass(frozen=True, slots=True)
class Options:
    """How a session loads models."""

    device: torch.device
    dtype: torch.dtype | None
    attention: str | None
    allow_pickle: bool
    quantize: Quantize | None

    def load(self, source: str, *, revision: str | None = None, strict: bool = False) -> Any:
        return load_model(
            source,
            device=self.device,
            dtype=self.dtype,
            attention=self.attention,
            allow_pickle=self.allow_pickle,
            quantize=self.quantize,
            revision=revision,
            strict=strict,
        )


class Session:
    """`model` carries the weights of `checkpoint`, in eval mode; `tokenizer` is that of the run.

    Gradients are required exactly for what the user's trainer trained: the adapter's parameters under an
    adapter, every parameter under full weights and under the base itself.
    """

    model: nn.Module
    tokenizer: Any
    checkpoint: Checkpoint

    def __init__(
        self,
        trajectory: Trajectory,
        checkpoint: Checkpoint,
        model: nn.Module,
        adapter: Adapter | None,
        tokenizer: Any,
        options: Options,
    ) -> None:
        """`model` carries `checkpoint` already; `open` is the way in."""
        self.trajectory = trajectory
        self.checkpoint = checkpoint
        self.model = model
        self.tokenizer = tokenizer
        self._adapter = adapter
        self._options = options
        self._description = self._describe()

    @classmethod
    def open(
        cls,
        trajectory: Trajectory,
        *,
        device: str = "auto",
        dtype: str = "auto",
        attention: str | None = None,
        allow_pickle: bool = False,
        quantize: Quantize | None = None,
        gradient_checkpointing: bool = False,
    ) -> "Session":
        """Load the base, the structure of the adapter if there is one, and the first checkpoint's weights.

        `dtype` is auto, fp32, bf16 or fp64; auto keeps the stored dtype of the base (fp16 becomes fp32) and
        holds adapters in fp32, as PEFT does in training. `attention` is transformers' `attn_implementation`.
        `quantize="4bit"` loads the base as QLoRA does; one stored in 4 bits needs no option. Raises
        ModelError, ConfigError.
        """
        if not trajectory.checkpoints:
            raise ModelError("The trajectory holds no checkpoints.")
        kinds = {checkpoint.kind for checkpoint in trajectory.checkpoints}
        if kinds >= {"adapter", "full"}:
            raise ModelError("The trajectory mixes adapters and full weights; it must be of one run.")
        if quantize and kinds != {"adapter"}:
            raise ConfigError(
                "4-bit weights cannot be trained, so `quantize` is for trajectories of adapters alone."
            )
        options = Options(resolve_device(device), resolve_dtype(dtype), attention, allow_pickle, quantize)
        first = next((one for one in trajectory.checkpoints if one.kind != "base"), trajectory.checkpoints[0])
        adapter = _open_adapter(trajectory, first, options) if first.kind == "adapter" else None
        model = adapter.model if adapter else options.load(first.source)
        if getattr(model, "is_quantized", False) and kinds != {"adapter"}:
            named = trajectory.base_model if adapter else first.source
            raise ModelError(
                f"The weights of {named} are quantised and cannot be trained, so adapters on them can be "
                "studied, but not they themselves."
            )
        if adapter is None:
            model.requires_grad_(True)
        if gradient_checkpointing:
            checkpoint_gradients(model)
        tokenizer = load_tokenizer(_tokenizer_sources(trajectory, first))
        _require_rows_for_tokens(model, tokenizer, first)
        session = cls(trajectory, first, model, adapter, tokenizer, options)
        session.at(trajectory.checkpoints[0])
        return session

    def at(self, checkpoint: Checkpoint) -> nn.Module:
        """Move the weights of `checkpoint` onto the model, in place, and return it."""
        if checkpoint != self.checkpoint:
            self._load(checkpoint)
            self.checkpoint = checkpoint
        return self.model

    def describe(self) -> dict[str, Any]:
        """What of model and software enters a fingerprint, JSON-like; the same at whichever checkpoint.

        `parameters` counts those of the run's own kind, trained and in all. Places of folders do not enter.
        """
        return dict(self._description)

    def weights_digest(self, checkpoint: Checkpoint) -> str:
        """Digest of a checkpoint's weight files, 16 hex digits, the same wherever the folder lies.

        See `weights.content_digest`: whole files up to 256 MiB, header and evenly spaced pieces above. Of
        full weights on the hub it is the name and the commit that was loaded.
        """
        if checkpoint.kind == "adapter":
            return content_digest(_adapter_files(checkpoint, self._options.allow_pickle).files)
        return self._full_digest(checkpoint.source)

    def _describe(self) -> dict[str, Any]:
        model: Any = self.model
        parameters = list(model.parameters())
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        base = self.trajectory.base_model
        return {
            "base_model": Path(base).name if base and Path(base).is_dir() else base,
            "base_digest": self._full_digest(base) if self._adapter and base else None,
            "kind": self.checkpoint.kind,
            "config_digest": _config_digest(model.config),
            "adapter_config_digest": self._adapter.structure_digest if self._adapter else None,
            "parameters": {
                "trained": sum(count(parameter) for parameter in trained),
                "total": sum(count(parameter) for parameter in parameters),
            },
            "dtype": str(model.dtype).removeprefix("torch."),
            "trained_dtypes": sorted({str(parameter.dtype).removeprefix("torch.") for parameter in trained}),
            "device": model.device.type,
            "attention": model.config._attn_implementation,
            "quantize": self._options.quantize,
            "versions": {
                "torch": str(torch.__version__),
                "transformers": transformers.__version__,
                "peft": peft.__version__,
                **({"bitsandbytes": version("bitsandbytes")} if has_four_bits(model) else {}),
            },
        }

    def _full_digest(self, source: str) -> str:
        if Path(source).is_dir():
            return content_digest(_full_files(source, self._options.allow_pickle).files)
        config: Any = self.model.config
        return fingerprint({"model": source, "commit": getattr(config, "_commit_hash", None)})

    def _load(self, checkpoint: Checkpoint) -> None:
        if self._adapter is not None and checkpoint.kind == "base":
            self._adapter.switch(on=False)
        elif self._adapter is not None:
            self._adapter.load(_adapter_files(checkpoint, self._options.allow_pickle))
            self._adapter.switch(on=True)
        else:
            self._load_full(checkpoint)

    def _load_full(self, checkpoint: Checkpoint) -> None:
        targets = self.model.state_dict()
        if Path(checkpoint.source).is_dir():
            weights = _full_files(checkpoint.source, self._options.allow_pickle)
            stored = stored_shapes(weights.files)
            if weights.pickled or stored.keys() <= targets.keys():
                require_same_tensors(checkpoint.source, stored, targets)
                copy_tensors(tensors(weights.files), targets)
                return
        # transformers renames or fuses some architectures' weights when it loads them.
        converted = self._options.load(checkpoint.source, strict=checkpoint.kind == "full").state_dict()
        shapes = {name: tuple(tensor.shape) for name, tensor in converted.items()}
        require_same_tensors(checkpoint.source, shapes, targets)
        copy_tensors(converted.items(), targets)


def checkpoint_gradients(model: Any) -> None:
    """Recompute activations layer by layer in the backward pass, with everything else left in eval mode.

    transformers checkpoints only layers whose own `training` flag is set; it is set on the layers alone, so
    the dropout inside them stays off. A later `model.eval()` turns checkpointing off again.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise ConfigError("This model has no layers that support gradient checkpointing; leave it off.")
    with quiet():
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.config.use_cache = False
    for layer in layers:
        layer.training = True


def _open_adapter(trajectory: Trajectory, first: Checkpoint, options: Options) -> Adapter:
    if trajectory.base_model is None:
        raise ModelError(f"The base model of {first.source} is not known; name it with --base-model.")
    weights = _adapter_files(first, options.allow_pickle)
    recorded = read_adapter_config(weights.folder)
    named = recorded.get("base_model_name_or_path") == trajectory.base_model
    base = options.load(trajectory.base_model, revision=recorded.get("revision") if named else None)
    adapter = Adapter.attach(base, weights, dtype=options.dtype)
    adapter.load(weights)
    return adapter


def _adapter_files(checkpoint: Checkpoint, allow_pickle: bool) -> Weights:
    """The files of an adapter in a local folder, or of one on the hub after fetching them."""
    folder = Path(checkpoint.source)
    if not folder.is_dir():
        config, file = fetch(checkpoint.source, ADAPTER_CONFIG), fetch(checkpoint.source, ADAPTER)
        if config is None or file is None:
            raise ModelError(f"'{checkpoint.source}' on the hub has no adapter in safetensors.")
        folder = config.parent
    weights = find_weights(folder, allow_pickle=allow_pickle)
    if weights is None or weights.kind != "adapter":
        raise ModelError(f"The adapter in {folder} is not there any more.")
    return weights


def _full_files(source: str, allow_pickle: bool) -> Weights:
    weights = find_weights(Path(source), allow_pickle=allow_pickle)
    if weights is None or weights.kind != "full":
        raise ModelError(f"The weights in {source} are not there any more.")
    return weights


def _tokenizer_sources(trajectory: Trajectory, first: Checkpoint) -> list[str]:
    """Where the run's tokenizer may be: the checkpoint, the folder above it, the base."""
    folder = Path(first.source)
    above = [str(folder.parent)] if folder.is_dir() and CHECKPOINT.fullmatch(folder.name) else []
    return [first.source, *above, *([trajectory.base_model] if trajectory.base_model else [])]


def _require_rows_for_tokens(model: Any, tokenizer: Any, checkpoint: Checkpoint) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ModelError(
            f"The tokenizer of {checkpoint.source} has {len(tokenizer)} tokens but the model only {rows} "
            "embeddings; the run added tokens whose embeddings were not saved, or its base is another model."
        )


def _config_digest(config: Any) -> str:
    """Digest of what a model's configuration computes with, without names and versions."""
    fields = json.loads(config.to_json_string(use_diff=False))
    return digest(json.dumps({key: fields[key] for key in sorted(fields) if key not in NOT_ARCHITECTURE}))
