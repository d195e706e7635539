"""The language's tokenizer in the transformers format, so that a lab run is measured like any other model."""

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from saturation.lab.language import Language
from saturation.lab.words import END_OF_TEXT


def build_tokenizer(language: Language) -> PreTrainedTokenizerFast:
    """One word, one token, split on whitespace; no unknown token, so a foreign word is an error and not a guess."""
    vocabulary = {word: token for token, word in enumerate(language.words)}
    backend = Tokenizer(models.WordLevel(vocabulary))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END_OF_TEXT,
        bos_token=END_OF_TEXT,
        # The default joins a full stop to the word before it, and decoding would no longer undo encoding.
        clean_up_tokenization_spaces=False,
    )


def save_tokenizer(language: Language, folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` into `folder`, which must exist."""
    build_tokenizer(language).save_pretrained(folder)
