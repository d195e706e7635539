"""The lab's models: transformers' own GPT-NeoX, and what a run changes about its head."""

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from saturation.lab.config import RunConfig
from saturation.lab.precision import FORMATS, round_inside
from saturation.measures.mixture import MixtureOfSoftmaxes


class GPTNeoXMixtureOfSoftmaxes(GPTNeoXForCausalLM):
    """GPT-NeoX whose last states are read by a mixture of `config.softmaxes` softmaxes; its name lands in config.json.

    Its own `forward` is not used: the trainer and `checkpoints.load` read the last states through `mixture`.
    """

    def __init__(self, config: GPTNeoXConfig) -> None:
        super().__init__(config)
        self.mixture = MixtureOfSoftmaxes(config.hidden_size, config.softmaxes)


def build_model(config: RunConfig) -> GPTNeoXForCausalLM:
    """The run's model with its initial weights, which depend on `config.seed` and the shape alone."""
    model_config = GPTNeoXConfig(
        vocab_size=config.corpus.vocab_size,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate_size,
        max_position_embeddings=config.context_length,
        initializer_range=config.initializer_range,
        # Pythia turns a quarter of each head; these heads are too small to be split.
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0},
        bos_token_id=0,
        eos_token_id=0,
        tie_word_embeddings=config.tied,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if config.softmaxes == 1:
            model = GPTNeoXForCausalLM(model_config)
        else:
            model_config.softmaxes = config.softmaxes
            model = GPTNeoXMixtureOfSoftmaxes(model_config)
    if config.precision != "float32":
        round_inside(model, model.gpt_neox.layers, FORMATS[config.precision])
    return model
