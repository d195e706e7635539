"""A checkpoint's head as a tensor, and the checkpoint as a model that can be run. Imports transformers when called."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from saturation.checkpoints.head import EMBEDDINGS, HEADS, head_tensor
from saturation.checkpoints.source import Source
from saturation.checkpoints.weights import WeightFiles
from saturation.errors import CheckpointError, InputError, NoHeadError, NotFiniteError
from saturation.measures.forward_pass import Parts
from saturation.measures.head import Head
from saturation.measures.mixture import MixtureOfSoftmaxes

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
MIXTURE = "mixture."  # how the tensors of a mixture of softmaxes are named
# How far, relative to the largest, our logits may lie from the model's own; half precision rounds far more.
VERIFY_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}


@dataclass(frozen=True)
class Shape:
    """What is known of a checkpoint from its configuration and the names and shapes of its tensors.

    head_tensor is the name of the head's tensor, hidden_size the width that it reads. None where there is no
    configuration (a bare weight file) or it does not tell.
    """

    head_tensor: str
    hidden_size: int
    layers: int | None
    vocab_size: int
    parameters: int | None
    context_length: int | None
    end_of_text: int | None


def quiet_transformers() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def preload() -> None:
    """Import what a measurement needs of transformers: its names are found when first used, not safe among threads."""
    from transformers import AutoConfig, AutoModelForCausalLM, modeling_utils  # noqa: F401


def _config(path: Path) -> Any:
    from transformers import AutoConfig

    quiet_transformers()
    try:
        return AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the checks of a configuration raise exceptions of many kinds
        raise CheckpointError(
            f"The configuration in {path} cannot be used: {first_line(error)} Only architectures built into "
            "transformers are supported; code from a checkpoint is never run."
        ) from error


def first_line(error: BaseException) -> str:
    """What a library's error says, in one sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    line = f"it does not know {lines[0]}" if isinstance(error, KeyError) else lines[0]
    if line.endswith(":") and len(lines) > 1:
        line += " " + lines[1]
    return line if line.endswith((".", "!", "?")) else line + "."


def read_head(source: Source, given: str | None = None) -> tuple[torch.Tensor, Shape]:
    """The head's weight (vocab_size, hidden_size) in the dtype of the file, and the checkpoint's shape.

    given: the name of the head's tensor, needed for a bare weight file.
    Raises NoHeadError or CheckpointError.
    """
    weights, folder = source.weights, source.config_folder()
    config = None if folder is None else _config(folder).get_text_config()
    tied = bool(getattr(config, "tie_word_embeddings", False))
    name = head_tensor(weights.names, tied, source.where, given)
    weight = source.read(name)
    if weight.ndim != 2 or not weight.is_floating_point():
        raise NoHeadError(f"The tensor {name} of {source.where} is no matrix of floats; name another: --head-tensor.")
    shape = Shape(
        head_tensor=name,
        hidden_size=weight.shape[1],
        layers=getattr(config, "num_hidden_layers", None),
        vocab_size=weight.shape[0],
        parameters=weights.parameters(without=_second_copy(weights.names) if tied else None),
        context_length=_context_length(config),
        end_of_text=_end_of_text(config, weight.shape[0]),
    )
    return weight, shape


def _second_copy(names: list[str]) -> str | None:
    """The head's tensor of a tied model whose files hold the embedding twice, to count it once."""
    head = next((name for name in HEADS if name in names), None)
    return head if any(name in names for name in EMBEDDINGS) else None


def _context_length(config: Any) -> int | None:
    length = getattr(config, "max_position_embeddings", None)
    return length if isinstance(length, int) and length > 0 else None


def _end_of_text(config: Any, vocab_size: int) -> int | None:
    """The configured end-of-text id (the first where there are several), None where it is no id of this model."""
    end = getattr(config, "eos_token_id", None)
    end = end[0] if isinstance(end, list) and end else end
    return end if isinstance(end, int) and 0 <= end < vocab_size else None


def pick_device(name: str) -> torch.device:
    """The device of this name; `auto` is a GPU where there is one. Raises InputError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"The device '{name}' cannot be used here; choose auto or cpu.") from error
    return device


def load_model(path: Path, dtype: str, device: torch.device) -> Parts:
    """The model of a folder, every weight of it read from the files and finite.

    Raises CheckpointError where weights are missing or the architecture is unknown, NotFiniteError for NaN.
    """
    from transformers import AutoModelForCausalLM

    if path.is_file():
        raise CheckpointError(f"{path} is a bare weight file: only its spectrum can be measured; give a model folder.")
    config = _config(path)
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            path,
            config=config,
            dtype=DTYPES[dtype],
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # named below, in our words
        )
    except Exception as error:  # building a model from an odd configuration raises exceptions of many kinds
        raise CheckpointError(f"The model in {path} cannot be loaded: {first_line(error)}") from error
    if info["mismatched_keys"]:
        name, held, wanted = min(info["mismatched_keys"])
        raise CheckpointError(
            f"The tensor {name} in {path} has the shape {tuple(held)}, but config.json asks for {tuple(wanted)}; "
            "the weights and the configuration are of different models."
        )
    missing = sorted(info["missing_keys"])
    if missing:
        raise CheckpointError(
            f"The weights in {path} lack {len(missing)} tensor(s), the first {missing[0]}; "
            "save the whole causal language model."
        )
    _refuse_more_layers(info["unexpected_keys"], config.get_text_config().num_hidden_layers, path)
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise NotFiniteError(f"The tensor {name} of {path} holds NaN or infinite values; it cannot be measured.")
    model.eval().to(device)
    return parts_of(model, f"the model in {path}", _mixture(config, model, path, device))


def _refuse_more_layers(unused: Iterable[str], layers: int, path: Path) -> None:
    """Weights of a layer that the configuration does not have: the model would be measured without it."""
    found = {int(number) for name in unused for number in LAYER.findall(name)}
    if found and max(found) >= layers:
        raise CheckpointError(
            f"The weights in {path} hold {max(found) + 1} layers, but config.json asks for {layers}; the weights and "
            "the configuration are of different models."
        )


def _mixture(config: Any, model: Any, path: Path, device: torch.device) -> MixtureOfSoftmaxes | None:
    """The mixture of softmaxes that reads the last states of some lab runs, whose configuration says so."""
    softmaxes = getattr(config, "softmaxes", 1)
    if softmaxes == 1:
        return None
    mixture = MixtureOfSoftmaxes(config.hidden_size, softmaxes)
    weights = WeightFiles.find(path)
    names = {name: f"{MIXTURE}{name}" for name in mixture.state_dict()}
    try:
        mixture.load_state_dict({name: weights.read(full)[0] for name, full in names.items()})
    except (CheckpointError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"The configuration in {path} asks for a mixture of {softmaxes} softmaxes, but its weights hold none."
        ) from error
    return mixture.eval().to(device, model.dtype)


def _blocks(decoder: torch.nn.Module, layers: int, name: str) -> tuple[torch.nn.Module, ...]:
    for module in decoder.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == layers:
            return tuple(module)
    raise CheckpointError(f"The {layers} layers of {name} were not found; its architecture is not supported.")


def parts_of(model: Any, name: str, mixture: MixtureOfSoftmaxes | None = None) -> Parts:
    """What a pass needs of a causal language model of transformers, in evaluation mode. name: as errors call it.

    Its weights are not copied: a model that is trained on is measured as it then is.
    Raises NoHeadError, CheckpointError for an architecture that is not supported.
    """
    config = model.config.get_text_config()
    linear = model.get_output_embeddings()
    if linear is None:
        raise NoHeadError(f"{name[0].upper()}{name[1:]} has no output head; give a causal language model.")
    device = linear.weight.device
    decoder = model.get_decoder()
    bias = getattr(linear, "bias", None)
    head = Head(
        linear.weight.detach(),
        None if bias is None else bias.detach(),
        getattr(config, "final_logit_softcapping", None),
    )

    def base(ids: torch.Tensor) -> torch.Tensor:
        return decoder(input_ids=ids, use_cache=False).last_hidden_state

    blocks = _blocks(decoder, config.num_hidden_layers, name)
    if mixture is not None:  # transformers itself knows no such head: there is nothing to compare with
        mixed = partial(mixture.log_probabilities, weight=linear.weight.detach())
        return Parts(base, blocks, mixed, linear.weight.shape[0], device)
    _verify(model, base, head, name, device)
    return Parts(base, blocks, head, linear.weight.shape[0], device, head)


@torch.inference_mode()
def _verify(
    model: Any,
    base: Callable[[torch.Tensor], torch.Tensor],
    logits: Callable[[torch.Tensor], torch.Tensor],
    name: str,
    device: torch.device,
) -> None:
    """Refuse a model whose own logits are not what the head makes of the last states (unknown scaling)."""
    ids = torch.zeros((1, 1), dtype=torch.long, device=device)
    ours = logits(base(ids)[0]).float()
    own = model(input_ids=ids, use_cache=False).logits[0].float()
    tolerance = VERIFY_TOLERANCE.get(model.dtype, 0.05) * (1 + float(own.abs().max()))
    if float((ours - own).abs().max()) > tolerance:
        raise CheckpointError(
            f"The architecture of {name} changes its logits after the head in a way that is not supported "
            f"({type(model).__name__}); its loss would be wrong."
        )
