"""The registry: every entry against the published shapes, and every step pattern against published names."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    Olmo2Config,
    OlmoConfig,
    OPTConfig,
    PretrainedConfig,
    SmolLM3Config,
)

from saturation.errors import UnknownNameError
from saturation.families import registry, steps
from saturation.families.model import Model


def _count(config: PretrainedConfig) -> int:
    """Parameters of an architecture, each counted once, without allocating them."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


def _neox(model: Model) -> PretrainedConfig:
    return GPTNeoXConfig(
        hidden_size=model.hidden_size,
        num_hidden_layers=model.layers,
        intermediate_size=4 * model.hidden_size,
        num_attention_heads=1 if model.hidden_size < 64 else 8,
        vocab_size=model.vocab_size,
    )


def _gpt2(model: Model) -> PretrainedConfig:
    return GPT2Config(n_embd=model.hidden_size, n_layer=model.layers, n_head=model.hidden_size // 64)


def _opt(model: Model) -> PretrainedConfig:
    width = 1024 if model.name == "350m" else model.hidden_size  # 350m projects to a head of width 512
    return OPTConfig(
        hidden_size=width,
        word_embed_proj_dim=model.hidden_size,
        ffn_dim=4 * width,
        num_hidden_layers=model.layers,
        num_attention_heads=16,
        vocab_size=model.vocab_size,
        do_layer_norm_before=model.name != "350m",
    )


def _bloom(model: Model) -> PretrainedConfig:
    return BloomConfig(hidden_size=model.hidden_size, n_layer=model.layers, n_head=16, vocab_size=model.vocab_size)


# (feed-forward size, heads, key-value heads, head size or None, tied, configuration class)
GATED = {
    "llama/2-7b": (11008, 32, 32, None, False, LlamaConfig),
    "llama/2-13b": (13824, 40, 40, None, False, LlamaConfig),
    "llama/3.2-1b": (8192, 32, 8, 64, True, LlamaConfig),
    "llama/3.2-3b": (8192, 24, 8, 128, True, LlamaConfig),
    "llama/3.1-8b": (14336, 32, 8, None, False, LlamaConfig),
    "smollm2/135m": (1536, 9, 3, None, True, LlamaConfig),
    "smollm2/360m": (2560, 15, 5, None, True, LlamaConfig),
    "smollm2/1.7b": (8192, 32, 32, None, True, LlamaConfig),
    "smollm3/3b": (11008, 16, 4, None, True, SmolLM3Config),
    "amber/7b": (11008, 32, 32, None, False, LlamaConfig),
    "olmo/1b": (8192, 16, 16, None, True, OlmoConfig),
    "olmo/7b": (11008, 32, 32, None, False, OlmoConfig),
    "olmo/1.7-7b": (11008, 32, 32, None, False, OlmoConfig),
    "olmo2/1b": (8192, 16, 16, None, False, Olmo2Config),
    "olmo2/7b": (11008, 32, 32, None, False, Olmo2Config),
    "olmo2/13b": (13824, 40, 40, None, False, Olmo2Config),
    "gemma/2b": (16384, 8, 1, 256, True, GemmaConfig),
    "gemma/7b": (24576, 16, 16, 256, True, GemmaConfig),
    "gemma/2-2b": (9216, 8, 4, 256, True, Gemma2Config),
    "gemma/2-9b": (14336, 16, 8, 256, True, Gemma2Config),
}
BUILDERS = {
    "pythia": _neox,
    "pythia-deduped": _neox,
    "polypythias": _neox,
    "gpt2": _gpt2,
    "stanford-gpt2": _gpt2,
    "opt": _opt,
    "bloom": _bloom,
}


def _entries() -> list[tuple[str, str]]:
    """One entry of each shape: seeds of one size are the same architecture."""
    seen, entries = set(), []
    for family in registry.families().values():
        for model in family.models.values() if family.name != "lab" else ():
            shape = (BUILDERS.get(family.name), model.parameters, model.hidden_size, model.layers)
            if model.parameters is not None and (BUILDERS.get(family.name) is None or shape not in seen):
                seen.add(shape)
                entries.append((family.name, model.name))
    return entries


@pytest.mark.parametrize(("family", "name"), _entries())
def test_parameters_follow_from_the_shape(family: str, name: str) -> None:
    model = registry.family(family).models[name]
    if family in BUILDERS:
        config = BUILDERS[family](model)
    else:
        inner, heads, groups, head_dim, tied, kind = GATED[f"{family}/{name}"]
        config = kind(
            hidden_size=model.hidden_size,
            num_hidden_layers=model.layers,
            intermediate_size=inner,
            num_attention_heads=heads,
            num_key_value_heads=groups,
            vocab_size=model.vocab_size,
            tie_word_embeddings=tied,
            pad_token_id=None,
            **({"head_dim": head_dim} if head_dim else {}),
        )
    assert _count(config) == model.parameters


def test_all_families_of_the_design_are_listed_lab_first() -> None:
    names = list(registry.families())
    assert names[0] == "lab"
    assert names[-1] == "local"
    assert set(names[1:-1]) == {
        *("pythia", "pythia-deduped", "polypythias", "gpt2", "opt", "gemma", "llama", "olmo", "olmo2", "olmo3"),
        *("smollm2", "smollm3", "amber", "bloom", "stanford-gpt2", "hub", "live"),
    }


def test_every_family_names_its_source_and_every_published_model_its_repository() -> None:
    for family in registry.families().values():
        assert family.source.strip(), family.name
        for model in family.models.values():
            published = family.name not in ("lab", "live", "local")
            assert ("/" in (model.repository or "")) == published, (family.name, model.name)


def test_pythia_has_the_learning_rates_of_its_paper() -> None:
    rates = {name: model.peak_learning_rate for name, model in registry.family("pythia").models.items()}
    assert rates == {
        **dict.fromkeys(("14m", "31m", "70m"), 1e-3),
        "160m": 6e-4,
        "410m": 3e-4,
        "1b": 2.5e-4,
        "1.4b": 2e-4,
        "2.8b": 1.6e-4,
        "6.9b": 1.2e-4,
        "12b": 1.2e-4,
    }


@pytest.mark.parametrize(
    ("family", "names", "expected"),
    [
        ("pythia", ["step0", "step512", "step143000", "main", "step-1"], [0, 512, 143000]),
        ("pythia-deduped", ["step1", "step1000"], [1, 1000]),
        ("polypythias", ["step2", "main", "step64"], [2, 64]),
        ("olmo", ["step1000-tokens4B", "main", "step2000-tokens8B"], [1000, 2000]),
        ("olmo2", ["stage1-step1000-tokens5B", "stage2-ingredient1-step1000-tokens5B", "main"], [1000]),
        ("olmo3", ["stage1-step1000", "stage2-step1000", "main"], [1000]),
        ("smollm2", ["step-125000", "step-2000", "main"], [2000, 125000]),
        ("smollm3", ["stage1-step-40000", "stage2-step-3480000", "main"], [40000, 3480000]),
        ("amber", ["ckpt_000", "ckpt_358", "main"], [0, 358, 359]),
        ("bloom", ["global_step1000", "main", "global_step100"], [100, 1000]),
        ("stanford-gpt2", ["checkpoint-100", "checkpoint-400000", "main"], [100, 400000]),
    ],
)
def test_revision_names_of_each_family(family: str, names: list[str], expected: list[int]) -> None:
    refs = {name: f"commit-of-{name}" for name in names}
    found = steps.revisions(registry.family(family), refs)
    assert list(found) == expected
    assert all(revision.commit == f"commit-of-{revision.name}" for revision in found.values())


def test_tokens_are_read_from_names_that_state_them() -> None:
    found = steps.revisions(registry.family("olmo"), {"step1000-tokens4B": "a"})
    assert found[1000].billion_tokens == 4


@pytest.mark.parametrize("family", ["gpt2", "opt", "llama", "gemma"])
def test_families_of_one_checkpoint_have_main_without_a_step(family: str) -> None:
    found = steps.revisions(registry.family(family), {"main": "abc", "refs/pr/1": "def"})
    assert [(step, revision.name) for step, revision in found.items()] == [(None, "main")]


def test_a_repository_that_no_family_names_is_read_by_common_step_names() -> None:
    found = steps.revisions(None, {"main": "a", "checkpoint-10": "b", "step2": "c", "dev": "d"})
    assert list(found) == [2, 10]


def test_an_unknown_family_names_the_close_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"There is no family 'pythai'; did you mean pythia"):
        registry.family("pythai")
