"""Tiny random causal language models of five shapes, saved with a tokenizer, for the tests."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
    PreTrainedTokenizerFast,
)

VOCAB = 67
LENGTH = 16
# Fewer words than rows of the vocabulary, as in most real models; some take more bytes than letters.
WORDS = ["<eot>", *(f"wörd{number}" if number % 10 == 0 else f"word{number}" for number in range(1, VOCAB - 2))]
_COMMON = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
_SIZES = {
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "max_position_embeddings": LENGTH,
}

CONFIGS = {
    "gpt_neox": lambda: GPTNeoXConfig(
        **_COMMON, **_SIZES | {"num_attention_heads": 3}, intermediate_size=20, rotary_pct=0.5
    ),
    "gpt2": lambda: GPT2Config(**_COMMON, n_embd=12, n_layer=3, n_head=2, n_positions=LENGTH, n_inner=20),
    "opt": lambda: OPTConfig(**_COMMON, **_SIZES, ffn_dim=20, word_embed_proj_dim=12),
    "llama": lambda: LlamaConfig(**_COMMON, **_SIZES, intermediate_size=20, num_key_value_heads=1),
    "gemma": lambda: GemmaConfig(**_COMMON, **_SIZES, intermediate_size=20, num_key_value_heads=1, head_dim=6),
}


def save_tokenizer(folder: Path) -> None:
    """A word-level tokenizer without an unknown token; id 0 ends a text."""
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eot>").save_pretrained(folder)


def save_model(folder: Path, shape: str, seed: int = 0, tokenizer: bool = True, **save: object) -> Path:
    """A random model whose weights are large enough that every layer bends the result."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(CONFIGS[shape]())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0.0, 0.3)
            if "norm" in name or "ln_" in name:
                parameter.add_(0.0 if shape == "gemma" or name.endswith("bias") else 1.0)
    model.save_pretrained(folder, **save)
    if tokenizer:
        save_tokenizer(folder)
    return folder


def text(tokens: int, seed: int = 1) -> str:
    """Random words, one token each."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, len(WORDS), (tokens,), generator=generator)
    return " ".join(WORDS[number] for number in ids.tolist())


def ids(words: str) -> list[int]:
    """The token ids of a text of these words."""
    return [WORDS.index(word) for word in words.split()]
