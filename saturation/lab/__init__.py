"""The lab: small GPT-NeoX runs on a synthetic language whose best possible loss is known, and on natural text.

`Language` and `RunConfig` need numpy only. `saturation.lab.tokenizer` and `saturation.lab.trainer` bring in
transformers and torch, so they are imported where they are used.
"""

from saturation.lab.config import RunConfig
from saturation.lab.language import Language

__all__ = ["Language", "RunConfig"]
