"""Loading causal language models and tokenizers with transformers: quietly, strictly, without remote code.

Knows nothing of checkpoints or adapters.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from packaging.version import Version
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from assay.errors import ConfigError, ModelError
from assay.files import read_json
from assay.models.folders import find_weights
from assay.models.four_bits import four_bits, let_gradients_pass, without_bitsandbytes
from assay.models.hub import cache_only
from assay.models.placing import listed
from assay.online import hushed

Quantize = Literal["4bit"]

DTYPES = {
    "fp32": torch.float32,
    "float32": torch.float32,
    "bf16": torch.bfloat16,
    "bfloat16": torch.bfloat16,
    "fp64": torch.float64,
    "float64": torch.float64,
}
DTYPE_ARGUMENT = "dtype" if Version(transformers.__version__) >= Version("4.56") else "torch_dtype"
_NOT_LOADABLE = (
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    TypeError,
    AttributeError,
    AssertionError,
    StrictDataclassError,
)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' and the hub's bars and warnings; what matters is raised, or checked by us."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with hushed(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def resolve_device(name: str) -> torch.device:
    """`auto` is the first CUDA device where there is one, else the CPU. ConfigError for what is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"The device '{name}' is not available here; try cpu or auto.") from error
    return device


def resolve_dtype(name: str) -> torch.dtype | None:
    """A dtype by name; None for `auto`, which keeps what is stored."""
    if name == "auto":
        return None
    if name not in DTYPES:
        raise ConfigError(f"The dtype '{name}' is not one of auto, fp32, bf16, fp64.")
    return DTYPES[name]


def load_model(
    source: str,
    *,
    device: torch.device,
    dtype: torch.dtype | None,
    attention: str | None = None,
    allow_pickle: bool = False,
    quantize: Quantize | None = None,
    revision: str | None = None,
    strict: bool = False,
) -> Any:
    """A transformers causal language model in eval mode on `device`, every weight of which was found.

    `strict` also refuses stored weights that the model has no place for (published models may hold some).
    `dtype` None keeps the stored one, except that fp16 becomes fp32: its backward overflows without scaling.
    `attention` is transformers' `attn_implementation`. Raises ModelError, and ConfigError for a dtype that
    4-bit weights do not compute in.
    """
    if Path(source).is_dir() and find_weights(Path(source), allow_pickle=allow_pickle) is None:
        raise ModelError(f"The folder {source} has no weights of a model in it.")
    options: dict[str, Any] = {DTYPE_ARGUMENT: dtype or "auto"}
    if attention is not None:
        options["attn_implementation"] = attention
    if quantize is not None:
        options["quantization_config"] = four_bits(source, device, dtype)
        options["device_map"] = {"": device}
    try:
        with quiet():
            model, loading = AutoModelForCausalLM.from_pretrained(
                source,
                trust_remote_code=False,
                local_files_only=cache_only(source),
                use_safetensors=None if allow_pickle else True,
                output_loading_info=True,
                revision=revision or "main",
                **options,
            )
    except ImportError as error:
        if "bitsandbytes" in str(error):
            raise ModelError(without_bitsandbytes(source)) from error
        raise ModelError(f"The model {source} could not be loaded: {_first_sentence(error)}") from error
    except _NOT_LOADABLE as error:
        raise ModelError(_not_loaded(source, error)) from error
    if missing := loading["missing_keys"]:
        raise ModelError(f"The model {source} lacks {listed(missing)}; its weights are not all there.")
    if strict and (unexpected := loading["unexpected_keys"]):
        raise ModelError(f"The model {source} holds unexpected weights: {listed(unexpected)}.")
    if mismatched := [str(entry[0]) for entry in loading["mismatched_keys"]]:
        raise ModelError(
            f"In the model {source} the shape of {listed(mismatched)} is not the one config.json tells."
        )
    if dtype is None and model.dtype == torch.float16:
        _widen(model)
    if not getattr(model, "is_quantized", False):
        model = model.to(device)
    model = model.eval()
    let_gradients_pass(model, source)
    return model


def load_tokenizer(sources: Sequence[str]) -> Any:
    """The tokenizer of the first of `sources` that has one, with its chat template as it stands.

    A source that is no folder here is a hub id. Raises ModelError when no tokenizer can be loaded.
    """
    reason = "there is none"
    for source in sources:
        folder = Path(source)
        if folder.is_dir() and not any((folder / name).is_file() for name in TOKENIZER_FILES):
            continue
        local = cache_only(source)
        for kind in _tokenizer_kinds(folder):
            try:
                with quiet():
                    return kind.from_pretrained(source, trust_remote_code=False, local_files_only=local)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
                reason = _first_sentence(error)
        if folder.is_dir():
            break
    raise ModelError(f"No tokenizer could be loaded from {' or '.join(sources)}: {reason}.")


def context_length(config: Any) -> int | None:
    """How many tokens a model with this configuration takes, None where it does not tell."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    length: int | None = getattr(text, "max_position_embeddings", None)
    return length


def load_config(source: str) -> Any:
    """A model's configuration. Raises ModelError."""
    try:
        with quiet():
            return AutoConfig.from_pretrained(
                source, trust_remote_code=False, local_files_only=cache_only(source)
            )
    except _NOT_LOADABLE as error:
        raise ModelError(_not_loaded(source, error)) from error


def _tokenizer_kinds(folder: Path) -> list[Any]:
    """Classes to load a tokenizer with, best first.

    Where the folder names the general class, `tokenizer.json` alone says how to tokenize; transformers 5 may
    put the architecture's usual class in its place, which may split text otherwise. The general class also
    serves where the class named belongs to another version of transformers.
    """
    if not (folder / "tokenizer.json").is_file():
        return [AutoTokenizer]
    config = folder / "tokenizer_config.json"
    try:
        named = read_json(config).get("tokenizer_class") if config.is_file() else None
    except (ValueError, AttributeError):
        named = None
    general = named in ("PreTrainedTokenizerFast", "TokenizersBackend")
    return [PreTrainedTokenizerFast, AutoTokenizer] if general else [AutoTokenizer, PreTrainedTokenizerFast]


def _widen(model: nn.Module) -> None:
    """Hold what is in fp16 in fp32, but for quantised weights, whose dtype is that of their storage."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.dtype == torch.float16 and not hasattr(tensor, "quant_state"):
            tensor.data = tensor.data.float()


def _not_loaded(source: str, error: Exception) -> str:
    if not Path(source).exists():
        return (
            f"The model '{source}' is no folder here and could not be loaded from the hub "
            f"({_first_sentence(error)}); say where the base is with --base-model."
        )
    return f"The model {source} could not be loaded: {_first_sentence(error)}"


def _first_sentence(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300].rstrip(".:") or type(error).__name__
