"""Pronounceable pseudo-words for the tokens of the synthetic language."""

import itertools

import numpy as np

CONSONANTS = "bdfgklmnprstvz"
VOWELS = "aeiou"
END_OF_TEXT = "."


def pseudo_words(count: int, seed: int) -> tuple[str, ...]:
    """`count` distinct words, the frequent (first) ones shorter; word 0 is the full stop, the end-of-text token.

    Words are strings of consonant-vowel syllables: all of one syllable first, in an order drawn from `seed`,
    then all of two, and so on.
    """
    syllables = [consonant + vowel for consonant in CONSONANTS for vowel in VOWELS]
    generator = np.random.default_rng(seed)
    words = [END_OF_TEXT]
    for length in itertools.count(1):
        missing = count - len(words)
        if missing <= 0:
            break
        possible = len(syllables) ** length
        for number in generator.choice(possible, size=min(missing, possible), replace=False).tolist():
            word = ""
            for _ in range(length):
                number, digit = divmod(number, len(syllables))
                word += syllables[digit]
            words.append(word)
    return tuple(words[:count])
