"""The synthetic language: exact answers against brute force, hand-worked cases and long samples."""

import itertools
import math

import numpy as np
import pytest

from saturation.errors import InputError, SaturationError
from saturation.lab.alias import build_alias_tables
from saturation.lab.language import Language
from saturation.lab.words import pseudo_words

SMALL = Language(vocab_size=60, classes=4, rank=9, logit_scale=1.5, seed=3)
TINY = Language(vocab_size=5, classes=2, rank=3, logit_scale=1.5, seed=1)


def batch_means(values: np.ndarray, batches: int = 100) -> tuple[float, float]:
    """Mean and its standard error for correlated values, from the means of long batches."""
    means = values[: len(values) // batches * batches].reshape(batches, -1).mean(axis=1)
    return float(means.mean()), float(means.std(ddof=1) / math.sqrt(batches))


def fixed_logits(rows: list[list[float]], classes: int, token_classes: list[int]) -> Language:
    """A language whose table is given, to be worked out by hand."""
    table = np.array(rows, dtype=np.float64)
    language = Language(vocab_size=table.shape[1], classes=classes, rank=1)
    language.__dict__.update(logits=np.log(table), token_classes=np.array(token_classes))
    return language


@pytest.mark.parametrize(
    ("vocab_size", "classes", "rank"),
    [(1024, 16, 128), (1024, 16, 1), (1024, 16, 256), (300, 20, 300), (1100, 24, 40), (64, 8, 64), (7, 2, 4)],
)
def test_logits_have_exactly_the_rank_asked_for(vocab_size: int, classes: int, rank: int) -> None:
    language = Language(vocab_size=vocab_size, classes=classes, rank=rank)
    assert language.logits.shape == (classes**2, vocab_size)
    assert language.logits.dtype == np.float64
    assert np.linalg.matrix_rank(language.logits) == rank


@pytest.mark.parametrize("language", [Language(), SMALL, TINY, Language(vocab_size=2, classes=1, rank=1)])
def test_distributions_sum_to_one_and_the_stationary_one_stays(language: Language) -> None:
    assert language.probabilities.min() > 0.0
    np.testing.assert_allclose(language.probabilities.sum(axis=1), 1.0, rtol=0, atol=1e-14)
    # The transition matrix built plainly, token by token.
    classes = language.classes
    transitions = np.zeros((classes**2, classes**2))
    for older, newer in itertools.product(range(classes), repeat=2):
        context = older * classes + newer
        for token, token_class in enumerate(language.token_classes):
            transitions[context, newer * classes + token_class] += language.probabilities[context, token]
    assert language.stationary.min() > 0.0
    assert language.stationary.sum() == pytest.approx(1.0, abs=1e-14)
    np.testing.assert_allclose(language.stationary @ transitions, language.stationary, rtol=0, atol=1e-12)
    np.testing.assert_allclose(language.advance(language.stationary), language.stationary, rtol=0, atol=1e-12)
    np.testing.assert_allclose(language.unigram.sum(), 1.0, rtol=0, atol=1e-14)


def test_every_class_holds_its_share_of_tokens_of_every_frequency() -> None:
    assert sorted(Language().token_classes[:16]) == list(range(16))
    assert np.bincount(Language().token_classes).tolist() == [64] * 16


def test_one_class_has_no_memory() -> None:
    language = Language(vocab_size=4, classes=1, rank=1, zipf_exponent=1.0)
    # Zipf: 1, 1/2, 1/3, 1/4, divided by their sum 25/12.
    np.testing.assert_allclose(language.unigram, np.array([12, 6, 4, 3]) / 25, atol=1e-15)
    assert language.entropy_rate == pytest.approx(language.first_order_entropy, abs=1e-14)
    assert language.floor(100, 7) == pytest.approx(language.entropy_rate, abs=1e-14)


def test_rank_one_is_zipfs_law_in_every_context() -> None:
    language = Language(vocab_size=4, classes=2, rank=1)
    np.testing.assert_allclose(language.probabilities, np.tile(np.array([12, 6, 4, 3]) / 25, (4, 1)), atol=1e-15)
    expected = -sum(p / 25 * math.log(p / 25) for p in (12, 6, 4, 3))
    assert language.entropy_rate == pytest.approx(expected, abs=1e-14)
    assert language.first_order_entropy == pytest.approx(expected, abs=1e-14)
    # Equal rows: one singular value, sqrt(contexts) times the length of a row.
    np.testing.assert_allclose(
        language.spectrum(), [2 * math.sqrt(12**2 + 6**2 + 4**2 + 3**2) / 25, 0, 0, 0], atol=1e-15
    )
    np.testing.assert_allclose(language.w_error(), [1, 0, 0, 0, 0], atol=1e-7)


def test_a_language_of_two_tokens_by_hand() -> None:
    # Tokens are their own classes. Token 0 has probability 1/2 after (x, 0), 1/4 after (0, 1), 3/4 after
    # (1, 1).
    language = fixed_logits([[0.5, 0.5], [0.25, 0.75], [0.5, 0.5], [0.75, 0.25]], classes=2, token_classes=[0, 1])
    # Balance of a = (0, 0), b = (0, 1), c = (1, 0), d = (1, 1): a = b = (a + c) / 2 and d = 3b/4 + d/4,
    # so all are equal.
    np.testing.assert_allclose(language.stationary, [0.25] * 4, atol=1e-15)
    np.testing.assert_allclose(language.unigram, [0.5, 0.5], atol=1e-15)
    half, quarter = math.log(2), -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert language.entropy_rate == pytest.approx((half + quarter) / 2, abs=1e-15)
    # After token 1 the class before it is 0 or 1 evenly, so that 1/4 and 3/4 mix into 1/2.
    assert language.first_order_entropy == pytest.approx(half, abs=1e-15)
    # The text continues token 0. Its first token costs log 2. The second: (0, 0) or (0, 1) evenly.
    assert language.floor(1, 2) == pytest.approx(half, abs=1e-15)
    assert language.floor(2, 2) == pytest.approx((half + (half + quarter) / 2) / 2, abs=1e-15)
    assert language.floor(2, 1) == pytest.approx(half, abs=1e-15)
    # The third starts a window: one token seen, log 2 whatever it is.
    assert language.floor(3, 2) == pytest.approx((half + (half + quarter) / 2 + half) / 3, abs=1e-15)
    assert language.window_floor(4) == pytest.approx((half + 3 * (half + quarter) / 2) / 4, abs=1e-15)


def brute_force_floor(language: Language, tokens: int, context_length: int) -> float:
    """The floor by enumerating every text, with predictors built from enumerated joint probabilities only."""
    size, classes = language.vocab_size, language.classes
    class_of = language.token_classes

    def row(older: int, newer: int) -> np.ndarray:
        return language.probabilities[older * classes + newer]

    # P(class t-2 = a, token t-1 = v), enumerated.
    joint = np.zeros((classes, size))
    for first, second in itertools.product(range(classes), repeat=2):
        joint[second] += language.stationary[first * classes + second] * row(first, second)
    posterior = joint / joint.sum(axis=0)
    only_one = {
        token: sum(posterior[a, token] * row(a, class_of[token]) for a in range(classes)) for token in range(size)
    }
    total = 0.0
    for hidden in range(classes):
        for text in itertools.product(range(size), repeat=tokens):
            stream = [0, *text]
            probability, loss = posterior[hidden, 0], 0.0
            for index, token in enumerate(text):
                previous = stream[index]
                older = hidden if index == 0 else class_of[stream[index - 1]]
                true = row(older, class_of[previous])
                seen = only_one[previous] if index % context_length == 0 else true
                probability *= true[token]
                loss -= math.log(seen[token])
            total += probability * loss
    return total / tokens


@pytest.mark.parametrize(("tokens", "context_length"), [(1, 3), (4, 1), (5, 2), (5, 3), (4, 8)])
def test_floor_equals_the_enumeration_of_every_text(tokens: int, context_length: int) -> None:
    assert TINY.floor(tokens, context_length) == pytest.approx(
        brute_force_floor(TINY, tokens, context_length), abs=1e-12
    )


def test_floor_of_a_long_text_is_that_of_its_windows() -> None:
    language = Language()
    far = 10**9
    assert language.floor(far, 32) == pytest.approx(language.window_floor(32), abs=1e-8)
    assert language.floor(far, far) == pytest.approx(language.entropy_rate, abs=1e-8)


def test_each_token_adds_what_its_place_in_the_window_costs() -> None:
    totals = {count: SMALL.floor(count, 7) * count for count in range(300, 330)}
    for count in range(301, 330):
        expected = SMALL.first_order_entropy if (count - 1) % 7 == 0 else SMALL.entropy_rate
        assert totals[count] - totals[count - 1] == pytest.approx(expected, abs=1e-9)


def test_first_order_predictor_uses_the_token_and_not_only_its_class() -> None:
    # Knowing only the class of the last token is knowing less.
    joint = SMALL.stationary.reshape(4, 4)  # (older, newer)
    by_class = 0.0
    rows = SMALL.probabilities.reshape(4, 4, -1)
    for newer in range(4):
        share = joint[:, newer].sum()
        mixture = (joint[:, newer] / share) @ rows[:, newer]
        by_class -= share * float(mixture @ np.log(mixture))
    unigram_entropy = -float(SMALL.unigram @ np.log(SMALL.unigram))
    assert SMALL.entropy_rate + 0.01 < SMALL.first_order_entropy < by_class - 1e-4
    assert by_class < unigram_entropy


@pytest.mark.parametrize("language", [Language(), SMALL], ids=["default", "small"])
def test_entropies_match_a_long_sample_within_four_standard_errors(language: Language) -> None:
    generator = np.random.default_rng(5)
    tokens = language.sample(400, 502, generator)
    classes = language.token_classes[tokens]
    context = classes[:, :-2] * language.classes + classes[:, 1:-1]
    losses = -language.log_probabilities[context, tokens[:, 2:]]
    mean, error = batch_means(losses.ravel())
    assert error < 0.01
    assert abs(mean - language.entropy_rate) < 4 * error
    # Given one token only: the contexts mixed by how often each comes before that very token.
    newer = language.token_classes[tokens[:, 1:-1]]
    rows = language.probabilities.reshape(language.classes, language.classes, -1)
    chosen = rows[:, newer, tokens[:, 2:]]  # (classes, sequences, positions)
    mixed = (chosen * language.older_given_token[:, tokens[:, 1:-1]]).sum(axis=0)
    mean, error = batch_means(-np.log(mixed).ravel())
    assert abs(mean - language.first_order_entropy) < 4 * error


def test_floor_matches_a_long_text_scored_under_the_protocol() -> None:
    context_length, count = 8, 200_000
    text = SMALL.sample_text_tokens(count, seed=9)
    stream = np.concatenate([[0], text])
    classes = SMALL.token_classes[stream]
    losses = np.empty(count)
    rows = SMALL.probabilities.reshape(4, 4, -1)
    for start in range(0, count, context_length):
        previous = stream[start]
        mixture = SMALL.older_given_token[:, previous] @ rows[:, classes[start]]
        losses[start] = -math.log(mixture[text[start]])
        inside = np.arange(start + 1, min(start + context_length, count))
        losses[inside] = -np.log(rows[classes[inside - 1], classes[inside], text[inside]])
    mean, error = batch_means(losses)
    assert error < 0.005
    assert abs(mean - SMALL.floor(count, context_length)) < 4 * error
    # The test can tell the floor from the entropy rate.
    assert SMALL.floor(count, context_length) - SMALL.entropy_rate > 8 * error


def chi_square_quantile(freedom: int) -> float:
    """The 0.9999 quantile of chi-square, by Wilson and Hilferty's approximation."""
    return freedom * (1 - 2 / (9 * freedom) + 3.719 * math.sqrt(2 / (9 * freedom))) ** 3


def test_samples_follow_the_table_and_the_stationary_distribution() -> None:
    tokens = TINY.sample(20_000, 12, np.random.default_rng(2))
    assert tokens.shape == (20_000, 12)
    assert tokens.dtype == np.int64
    # The very first token is already stationary; rows are independent, so counts are multinomial.
    for position in (0, 11):
        expected = TINY.unigram * 20_000
        observed = np.bincount(tokens[:, position], minlength=5)
        assert ((observed - expected) ** 2 / expected).sum() < chi_square_quantile(4)
    classes = TINY.token_classes[tokens]
    context = (classes[:, :-2] * 2 + classes[:, 1:-1]).ravel()
    following = tokens[:, 2:].ravel()
    for number in range(4):
        observed = np.bincount(following[context == number], minlength=5)
        expected = TINY.probabilities[number] * observed.sum()
        assert ((observed - expected) ** 2 / expected).sum() < chi_square_quantile(4)


def test_text_streams_follow_the_table_and_continue_the_end_of_text_token() -> None:
    text = TINY.sample_text_tokens(200_000, seed=4)
    classes = TINY.token_classes[text]
    context = classes[:-2] * 2 + classes[1:-1]
    for number in range(4):
        observed = np.bincount(text[2:][context == number], minlength=5)
        expected = TINY.probabilities[number] * observed.sum()
        assert ((observed - expected) ** 2 / expected).sum() < chi_square_quantile(4)
    firsts = [int(TINY.sample_text_tokens(1, seed)[0]) for seed in range(2000)]
    rows = TINY.probabilities.reshape(2, 2, -1)
    expected = 2000 * TINY.older_given_token[:, 0] @ rows[:, TINY.token_classes[0]]
    assert ((np.bincount(firsts, minlength=5) - expected) ** 2 / expected).sum() < chi_square_quantile(4)


def test_unigram_matches_a_long_sample() -> None:
    language = Language()
    tokens = language.sample(1000, 500, np.random.default_rng(8))
    for token in (0, 1, 10, 100, 1000):
        mean, error = batch_means((tokens == token).ravel().astype(np.float64))
        assert abs(mean - language.unigram[token]) < 4 * error


def test_same_seed_same_text_other_seed_other_text() -> None:
    assert SMALL.sample_text_tokens(80, 1)[:50].tolist() == SMALL.sample_text_tokens(50, 1).tolist()
    assert SMALL.text(50, 1) == Language(vocab_size=60, classes=4, rank=9, logit_scale=1.5, seed=3).text(50, 1)
    assert SMALL.text(50, 1) != SMALL.text(50, 2)
    assert SMALL.text(50, 1) != Language(vocab_size=60, classes=4, rank=9, logit_scale=1.5, seed=4).text(50, 1)


@pytest.mark.parametrize(
    "rows",
    [
        [[0.25, 0.25, 0.25, 0.25]],
        [[0.5, 0.25, 0.125, 0.125], [0.0, 0.0, 0.0, 1.0], [0.1, 0.2, 0.3, 0.4]],
        [[1.0]],
    ],
)
def test_alias_tables_hold_the_distribution(rows: list[list[float]]) -> None:
    tables = build_alias_tables(np.array(rows))
    np.testing.assert_allclose(tables.implied_probabilities(), rows, rtol=0, atol=1e-15)
    assert tables.keep.min() >= 0.0
    assert tables.keep.max() <= 1.0


def test_alias_tables_of_the_language_are_exact_to_rounding() -> None:
    tables = Language().alias_tables
    np.testing.assert_allclose(tables.implied_probabilities(), Language().probabilities, rtol=0, atol=1e-14)
    random = np.random.default_rng(0).dirichlet(np.full(97, 0.05), size=200)
    np.testing.assert_allclose(build_alias_tables(random).implied_probabilities(), random, rtol=0, atol=1e-13)


def test_alias_draws_by_hand() -> None:
    # Weights 3/2 and 1/2: column 1 keeps half of itself and gives the rest to 0.
    tables = build_alias_tables(np.array([[0.75, 0.25]]))
    uniforms = np.array([0.0, 0.49, 0.5, 0.74, 0.75, 0.99])
    assert tables.draw(np.zeros(6, dtype=np.int64), uniforms).tolist() == [0, 0, 1, 1, 0, 0]


def test_words_are_distinct_pronounceable_and_shorter_when_frequent() -> None:
    words = pseudo_words(6000, seed=0)
    assert words[0] == "."
    assert len(set(words)) == 6000
    lengths = [len(word) for word in words]
    assert lengths == sorted(lengths)
    assert lengths.count(2) == 70
    assert lengths.count(4) == 4900
    assert all(word[0::2].strip("bdfgklmnprstvz") == "" and word[1::2].strip("aeiou") == "" for word in words[1:])
    assert pseudo_words(6000, seed=0) == words


def test_text_round_trip() -> None:
    text = Language().text(500, seed=1)
    tokens = Language().encode(text)
    assert tokens.tolist() == Language().sample_text_tokens(500, seed=1).tolist()
    assert Language().decode(tokens) == text
    assert len(text.split(" ")) == 500
    everything = " ".join(Language().words)
    assert Language().encode(everything).tolist() == list(range(1024))


def test_spectrum_is_that_of_the_probabilities() -> None:
    gram = SMALL.probabilities @ SMALL.probabilities.T
    np.testing.assert_allclose(SMALL.spectrum() ** 2, np.linalg.eigvalsh(gram)[::-1], atol=1e-12)
    weighted = SMALL.probabilities.T @ (SMALL.stationary[:, None] * SMALL.probabilities)
    expected = np.linalg.eigvalsh(weighted)[::-1][: SMALL.contexts]
    np.testing.assert_allclose(SMALL.spectrum(weighted=True) ** 2, expected, atol=1e-12)
    values = SMALL.spectrum()
    errors = SMALL.w_error()
    assert errors[0] == 1.0
    assert errors[-1] == 0.0
    assert errors[3] == pytest.approx(np.linalg.norm(values[3:]) / np.linalg.norm(SMALL.probabilities), abs=1e-14)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rank": 257}, "rank is 257"),
        ({"rank": 0}, "rank is 0"),
        ({"vocab_size": 20, "rank": 21}, "between 1 and 20"),
        ({"vocab_size": 1}, "vocab_size is 1"),
        ({"classes": 0}, "classes is 0"),
        ({"vocab_size": 10, "classes": 11, "rank": 2}, "classes is 11"),
        ({"zipf_exponent": 0.0}, "zipf_exponent"),
        ({"zipf_exponent": math.nan}, "zipf_exponent"),
        ({"logit_scale": 0.0}, "logit_scale"),
        ({"logit_scale": math.inf}, "logit_scale"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_settings_are_refused_in_one_sentence(settings: dict, words: str) -> None:
    with pytest.raises(SaturationError, match=words) as caught:
        Language(**settings)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(InputError, match="not a word of this language"):
        SMALL.encode("ba hello")
    with pytest.raises(InputError, match="Token 60 does not exist"):
        SMALL.decode([0, 60])
    with pytest.raises(InputError, match="Token -1 does not exist"):
        SMALL.decode([-1])
    with pytest.raises(InputError, match="both must be 1 or more"):
        SMALL.floor(0, 8)
    with pytest.raises(InputError, match="both must be 1 or more"):
        SMALL.floor(10, 0)
    with pytest.raises(InputError, match="context_length is 0"):
        SMALL.window_floor(0)
    with pytest.raises(InputError, match="cannot be drawn"):
        SMALL.sample_text_tokens(0, 1)
