"""Frames of the shape that the store's queries return, small enough to check by hand."""

import numpy as np
import pandas as pd

STEPS = (0, 1, 2, 4, 1000)
LOSSES = (7.0, 6.0, 4.0, 3.0, 3.3)


def trajectory(model: str = "w8", parameters: float = 1e4, steps=STEPS, **columns) -> pd.DataFrame:
    """Rows of one model; measures that are not given are NaN but for the loss, anisotropy and entropy."""
    count = len(steps)
    values = {
        "nats_per_token": list(LOSSES[:count]),
        "anisotropy": list(np.linspace(0.1, 0.9, count)),
        "centred_anisotropy": list(np.linspace(0.05, 0.25, count)),
        "singular_entropy": list(np.geomspace(0.02, 2.0, count)),
        "centred_singular_entropy": [0.01] * count,
        "effective_rank": [7.5] * count,
        "floor": [np.nan] * count,
        "doubtful": [None] * count,
    } | columns
    frame = pd.DataFrame({"step": list(steps), **values})
    frame["doubtful"] = frame["doubtful"].astype(object)
    return frame.assign(
        family="lab", model=model, parameters=parameters, hidden_size=8, layers=2, text_id="t", text_name="text"
    )


def spectra(steps=STEPS, size: int = 4) -> pd.DataFrame:
    """At the n-th step, values size, size - 1 ... 1 with the largest multiplied by n + 1."""
    plain = [np.arange(size, 0, -1, dtype=np.float64) for _ in steps]
    for index, values in enumerate(plain):
        values[0] *= index + 1
    return pd.DataFrame(
        {
            "step": list(steps),
            "singular_values": plain,
            "centred_singular_values": [np.ones(size) for _ in steps],
            "doubtful": pd.Series([None] * len(steps), dtype=object),
        }
    )


def alignment(model: str = "w8", steps=STEPS, vectors: int = 4) -> pd.DataFrame:
    """Vector i at the n-th step: cosine n / 10 / i, correlation 0.8 / i - n / 100; centred 0 and half of it."""
    rows = [
        {
            "step": step,
            "rank": rank,
            "ones_alignment": place / 10 / rank,
            "frequency_correlation": 0.8 / rank - place / 100,
        }
        for place, step in enumerate(steps)
        for rank in range(1, vectors + 1)
    ]
    frame = pd.DataFrame(rows).assign(
        family="lab",
        model=model,
        tokens_seen=900,
        correlation_by_chance=0.086,
        parameters=1e4,
        centred_ones_alignment=0.0,
    )
    frame["centred_frequency_correlation"] = frame["frequency_correlation"] / 2
    frame["doubtful"] = pd.Series([None] * len(frame), dtype=object)
    return frame


def layers(model: str = "w8", parameters: float = 1e4, steps=STEPS, count: int = 2) -> pd.DataFrame:
    """Cosine 0.1 x layer + 0.01 x place of the step; centred is half of it."""
    rows = [
        {"step": step, "layer": layer, "anisotropy": 0.1 * layer + 0.01 * place}
        for place, step in enumerate(steps)
        for layer in range(count + 1)
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(
        family="lab",
        model=model,
        parameters=parameters,
        layers=count,
        depth=frame["layer"] / count,
        centred_anisotropy=frame["anisotropy"] / 2,
        doubtful=None,
    )


def curve(model: str = "w8", parameters: float = 1e4, steps=STEPS, values=LOSSES, **columns) -> pd.DataFrame:
    """Rows of `jobs.metrics.curve` for one model: a loss, 10 tokens a step."""
    frame = pd.DataFrame({"step": list(steps), "value": list(values)})
    settings = {
        "family": "lab",
        "model": model,
        "parameters": parameters,
        "hidden_size": 8.0,
        "layers": 2.0,
        "vocab_size": 1024.0,
        "stderr": np.nan,
        "floor": np.nan,
        "revision": None,
        "doubtful": None,
        "source": "text",
        "trained_tokens": frame["step"] * 10.0,
        "peak_learning_rate": 1e-3,
        "vocab_per_width": 128.0,
    }
    return frame.assign(**settings | columns)
