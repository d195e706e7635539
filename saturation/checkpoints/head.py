"""Which tensor of a checkpoint is the output head.

The names are those that the architectures in transformers write; older files of a base model leave the prefix out.
A tied model has no tensor of its own for the head: the input embedding is the head (GPT-2, OPT, Gemma, BLOOM).
"""

from collections.abc import Iterable

from saturation.errors import NoHeadError

HEADS = ("lm_head.weight", "embed_out.weight", "output.weight", "model.lm_head.weight")
EMBEDDINGS = (
    "gpt_neox.embed_in.weight",
    "transformer.wte.weight",
    "model.decoder.embed_tokens.weight",
    "model.embed_tokens.weight",
    "transformer.word_embeddings.weight",
    "embed_in.weight",
    "wte.weight",
    "decoder.embed_tokens.weight",
    "embed_tokens.weight",
    "word_embeddings.weight",
)
# Buffers that old checkpoints wrote beside the weights; they are no parameters.
BUFFERS = (".attention.bias", ".attn.bias", ".masked_bias", ".inv_freq", "rotary_emb.cos", "rotary_emb.sin")


def head_tensor(names: Iterable[str], tied: bool, where: str, given: str | None = None) -> str:
    """Name of the head's tensor among the names that a checkpoint holds.

    tied: whether the model's configuration ties the head to the input embedding. given: a name the user chose.
    Raises NoHeadError, which says what there is.
    """
    held = set(names)
    if given is not None:
        if given not in held:
            shown = ", ".join(sorted(held)[:8]) + (", ..." if len(held) > 8 else "")
            raise NoHeadError(f"{where} holds no tensor '{given}'; choose one of: {shown}.")
        return given
    # A tied model whose file holds a head of its own is run with that head: transformers unties the two if they differ.
    for name in HEADS + EMBEDDINGS if tied else HEADS:
        if name in held:
            return name
    raise NoHeadError(
        f"{where} holds no output head (none of {', '.join(HEADS[:3])}, and the model is not tied); "
        "give a causal language model, or name the head's tensor with --head-tensor."
    )


def is_buffer(name: str) -> bool:
    """Whether a tensor is a stored buffer (a mask, a rotary table) and no parameter."""
    return name.endswith(BUFFERS)
