"""What the measures must give, in plain float64 numpy: five architectures, the loss protocol, O(n^2) anisotropy.

Written from the papers and the layout of the files, with no torch and no transformers, so that an error shared with
the code under test is unlikely. Slow on purpose: loops over windows and tokens, the full cosine matrix.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def read_tensors(file: Path) -> dict[str, Array]:
    """Every tensor of a safetensors file, as float64."""
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    return {
        name: _numbers(body[slice(*item["data_offsets"])], item["dtype"]).reshape(item["shape"])
        for name, item in header.items()
        if name != "__metadata__"
    }


def _numbers(data: bytes, dtype: str) -> Array:
    if dtype == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").astype(np.float64)
    return np.frombuffer(data, {"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float64)


def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    shifted = x - x.mean(axis=-1, keepdims=True)
    return shifted / np.sqrt((shifted**2).mean(axis=-1, keepdims=True) + eps) * weight + bias


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps) * weight


def gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def rotate(x: Array, dims: int, theta: float) -> Array:
    """Rotary positions on the first `dims` of each head of x (length, heads, head_dim); halves form the pairs."""
    angles = np.arange(len(x))[:, None] * theta ** (-np.arange(0, dims, 2) / dims)
    cos, sin = np.cos(angles)[:, None, :], np.sin(angles)[:, None, :]
    first, second = x[..., : dims // 2], x[..., dims // 2 : dims]
    turned = [first * cos - second * sin, second * cos + first * sin]
    return np.concatenate([*turned, x[..., dims:]], axis=-1)


def attend(q: Array, k: Array, v: Array) -> Array:
    """Causal attention over (length, heads, head_dim); fewer key heads than query heads are shared in groups."""
    length, heads, head_dim = q.shape
    out = np.empty_like(q)
    for head in range(heads):
        shared = head * k.shape[1] // heads
        scores = q[:, head] @ k[:, shared].T / math.sqrt(head_dim)
        scores[np.triu_indices(length, 1)] = -np.inf
        out[:, head] = softmax(scores) @ v[:, shared]
    return out.reshape(length, -1)


@dataclass(frozen=True)
class States:
    """hidden: embedding output, then each block's output, before any final norm. last: what the head reads."""

    hidden: list[Array]
    last: Array
    logits: Array


class Model:
    """A checkpoint folder, run in float64."""

    def __init__(self, folder: Path) -> None:
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        self.w = read_tensors(folder / "model.safetensors")
        self.shape: str = self.config["model_type"]

    @property
    def head(self) -> Array:
        names = {
            "gpt_neox": "embed_out.weight",
            "gpt2": "transformer.wte.weight",
            "opt": "model.decoder.embed_tokens.weight",
            "llama": "lm_head.weight",
            "gemma": "model.embed_tokens.weight",
        }
        return self.w[names[self.shape]]

    def run(self, ids: Sequence[int]) -> States:
        run: Callable[[Sequence[int]], tuple[list[Array], Array]] = getattr(self, f"_{self.shape}")
        hidden, last = run(ids)
        return States(hidden, last, last @ self.head.T)

    def _linear(self, x: Array, name: str) -> Array:
        y = x @ self.w[f"{name}.weight"].T
        return y + self.w[f"{name}.bias"] if f"{name}.bias" in self.w else y

    def _norm(self, x: Array, name: str, eps: float) -> Array:
        return layer_norm(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"], eps)

    def _gpt_neox(self, ids: Sequence[int]) -> tuple[list[Array], Array]:
        c, eps = self.config, self.config["layer_norm_eps"]
        heads, length = c["num_attention_heads"], len(ids)
        head_dim = c["hidden_size"] // heads
        rope = c["rope_parameters"]
        dims = int(head_dim * rope["partial_rotary_factor"])
        x = self.w["gpt_neox.embed_in.weight"][list(ids)]
        hidden = [x]
        for layer in range(c["num_hidden_layers"]):
            p = f"gpt_neox.layers.{layer}"
            qkv = self._linear(self._norm(x, f"{p}.input_layernorm", eps), f"{p}.attention.query_key_value")
            q, k, v = np.split(qkv.reshape(length, heads, 3 * head_dim), 3, axis=-1)
            q, k = rotate(q, dims, rope["rope_theta"]), rotate(k, dims, rope["rope_theta"])
            attended = self._linear(attend(q, k, v), f"{p}.attention.dense")
            inner = self._norm(x, f"{p}.post_attention_layernorm", eps)
            inner = gelu(self._linear(inner, f"{p}.mlp.dense_h_to_4h"))
            x = x + attended + self._linear(inner, f"{p}.mlp.dense_4h_to_h")  # both read the same input
            hidden.append(x)
        return hidden, self._norm(x, "gpt_neox.final_layer_norm", eps)

    def _gpt2(self, ids: Sequence[int]) -> tuple[list[Array], Array]:
        c, eps = self.config, self.config["layer_norm_epsilon"]
        heads, length = c["n_head"], len(ids)

        def transposed(x: Array, name: str) -> Array:  # GPT-2 stores its maps as (in, out)
            return x @ self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

        x = self.w["transformer.wte.weight"][list(ids)] + self.w["transformer.wpe.weight"][:length]
        hidden = [x]
        for layer in range(c["n_layer"]):
            p = f"transformer.h.{layer}"
            qkv = transposed(self._norm(x, f"{p}.ln_1", eps), f"{p}.attn.c_attn")
            q, k, v = (part.reshape(length, heads, -1) for part in np.split(qkv, 3, axis=-1))
            x = x + transposed(attend(q, k, v), f"{p}.attn.c_proj")
            inner = gelu_tanh(transposed(self._norm(x, f"{p}.ln_2", eps), f"{p}.mlp.c_fc"))
            x = x + transposed(inner, f"{p}.mlp.c_proj")
            hidden.append(x)
        return hidden, self._norm(x, "transformer.ln_f", eps)

    def _opt(self, ids: Sequence[int]) -> tuple[list[Array], Array]:
        c, eps, length = self.config, 1e-5, len(ids)
        positions = self.w["model.decoder.embed_positions.weight"][2 : 2 + length]  # two rows are never used
        x = self.w["model.decoder.embed_tokens.weight"][list(ids)] + positions
        hidden = [x]
        for layer in range(c["num_hidden_layers"]):
            p = f"model.decoder.layers.{layer}"
            normed = self._norm(x, f"{p}.self_attn_layer_norm", eps)
            q, k, v = (
                self._linear(normed, f"{p}.self_attn.{part}_proj").reshape(length, c["num_attention_heads"], -1)
                for part in "qkv"
            )
            x = x + self._linear(attend(q, k, v), f"{p}.self_attn.out_proj")
            inner = np.maximum(self._linear(self._norm(x, f"{p}.final_layer_norm", eps), f"{p}.fc1"), 0)
            x = x + self._linear(inner, f"{p}.fc2")
            hidden.append(x)
        return hidden, self._norm(x, "model.decoder.final_layer_norm", eps)

    def _gated(
        self, ids: Sequence[int], scale: float, offset: float, act: Callable[[Array], Array]
    ) -> tuple[list[Array], Array]:
        """Llama and Gemma: RMS norms with weights offset + w, rotary positions, grouped queries, a gated inner map."""
        c, eps, length = self.config, self.config["rms_norm_eps"], len(ids)
        head_dim = c["head_dim"]
        theta = c["rope_parameters"]["rope_theta"]

        def norm(x: Array, name: str) -> Array:
            return rms_norm(x, offset + self.w[f"{name}.weight"], eps)

        x = self.w["model.embed_tokens.weight"][list(ids)] * scale
        hidden = [x]
        for layer in range(c["num_hidden_layers"]):
            p = f"model.layers.{layer}"
            normed = norm(x, f"{p}.input_layernorm")
            q, k, v = (
                self._linear(normed, f"{p}.self_attn.{part}_proj").reshape(length, -1, head_dim) for part in "qkv"
            )
            q, k = rotate(q, head_dim, theta), rotate(k, head_dim, theta)
            x = x + self._linear(attend(q, k, v), f"{p}.self_attn.o_proj")
            normed = norm(x, f"{p}.post_attention_layernorm")
            gate = act(self._linear(normed, f"{p}.mlp.gate_proj"))
            x = x + self._linear(gate * self._linear(normed, f"{p}.mlp.up_proj"), f"{p}.mlp.down_proj")
            hidden.append(x)
        return hidden, norm(x, "model.norm")

    def _llama(self, ids: Sequence[int]) -> tuple[list[Array], Array]:
        return self._gated(ids, 1.0, 0.0, silu)

    def _gemma(self, ids: Sequence[int]) -> tuple[list[Array], Array]:
        return self._gated(ids, math.sqrt(self.config["hidden_size"]), 1.0, gelu_tanh)


@dataclass(frozen=True)
class Measured:
    """What the protocol gives on a text: layers are embedding, blocks but the last, then what the head reads."""

    layers: list[float]
    centred_layers: list[float]
    last_before_norm: float
    centred_last_before_norm: float
    nats_per_token: float
    perplexity: float
    word_perplexity: float
    bits_per_byte: float
    accuracy: float
    tokens: int


def measure(model: Model, ids: Sequence[int], end_of_text: int, context_length: int, text: str) -> Measured:
    """Each token scored once, in windows; a window reads the token before it first, the first one end_of_text."""
    states: list[list[Array]] = []
    nats, correct = 0.0, 0
    for start in range(0, len(ids), context_length):
        targets = ids[start : start + context_length]
        before = end_of_text if start == 0 else ids[start - 1]
        found = model.run([before, *targets[:-1]])
        states.append([*found.hidden, found.last])
        for logits, target in zip(found.logits, targets, strict=True):
            nats -= math.log(softmax(logits)[target])
            correct += int(np.argmax(logits) == target)
    vectors = [np.concatenate(layer) for layer in zip(*states, strict=True)]
    before_norm = vectors.pop(-2)
    count = len(ids)
    return Measured(
        layers=[pairwise_anisotropy(layer) for layer in vectors],
        centred_layers=[pairwise_anisotropy(layer, centred=True) for layer in vectors],
        last_before_norm=pairwise_anisotropy(before_norm),
        centred_last_before_norm=pairwise_anisotropy(before_norm, centred=True),
        nats_per_token=nats / count,
        perplexity=math.exp(nats / count),
        word_perplexity=math.exp(nats / len(re.split(r"\s+", text))),
        bits_per_byte=nats / len(text.encode()) / math.log(2),
        accuracy=correct / count,
        tokens=count,
    )


def pairwise_anisotropy(vectors: Array, centred: bool = False) -> float:
    """The mean of the off-diagonal entries of the cosine matrix; a zero vector has cosine 0 with all others."""
    rows = np.asarray(vectors, dtype=np.float64)
    if centred:
        rows = rows - rows.mean(axis=0)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    units = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    cosines = units @ units.T
    return float(cosines[~np.eye(len(rows), dtype=bool)].mean())


def spectrum(weight: Array, centred: bool = False) -> Array:
    """Singular values of a head, as it is or with its row mean removed."""
    matrix = np.asarray(weight, dtype=np.float64)
    return np.linalg.svd(matrix - matrix.mean(axis=0) if centred else matrix, compute_uv=False)


@dataclass(frozen=True)
class Aligned:
    """Of the 8 leading left singular vectors, a row each, turned so that their correlation is positive."""

    vectors: Array
    ones: list[float]
    correlations: list[float]
    r_squared: float
    order: NDArray[np.int64]


def alignment(head: Array, ids: Sequence[int], centred: bool = False) -> Aligned:
    """Cosine with the all-ones vector, and correlation with the logarithm of the counts of the tokens in a text."""
    matrix = head - head.mean(axis=0) if centred else head
    vectors = np.linalg.svd(matrix, full_matrices=False)[0].T[:8]
    seen = sorted(set(ids))
    logs = np.log([list(ids).count(token) for token in seen])
    correlations = [np.corrcoef(vector[seen], logs)[0, 1] for vector in vectors]
    turned = vectors * np.sign(correlations)[:, None]
    ones = [abs(vector @ np.ones(len(vector))) / math.sqrt(len(vector)) for vector in vectors]
    design = np.column_stack([np.ones(len(seen)), vectors[:, seen].T])
    left = logs - design @ np.linalg.solve(design.T @ design, design.T @ logs)
    r_squared = float(1 - (left**2).sum() / ((logs - logs.mean()) ** 2).sum())
    return Aligned(turned, ones, [abs(r) for r in correlations], r_squared, np.argsort(turned, axis=1))


def singular_entropy(values: Array) -> float:
    shares = values / values.sum()
    return math.log(len(values)) + sum(share * math.log(share) for share in shares if share > 0)
