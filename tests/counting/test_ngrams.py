"""`NgramModel` against the textbook recursion over dictionaries, and against the rules of probability."""

from collections import Counter, defaultdict
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.counting.ngrams import NgramModel
from elman.errors import DataError, UsageError

SMOOTHINGS = ["kneser-ney", "witten-bell"]


class DictionaryModel:
    """The literal definition: tuples in dictionaries, one probability at a time, recursion down to the uniform one."""

    def __init__(self, order, smoothing, sequences, vocab_size):
        self.order, self.smoothing, self.vocab_size = order, smoothing, vocab_size
        occurrences = Counter()
        neighbours = defaultdict(set)
        for number, sequence in enumerate(sequences):
            for length in range(1, order + 1):
                for end in range(
                    max(1, length - 1), len(sequence)
                ):  # the last token of the gram, never the first of a sequence
                    start = end - length + 1
                    gram = tuple(sequence[start : end + 1])
                    occurrences[gram] += 1
                    neighbours[gram].add(("token", sequence[start - 1]) if start > 0 else ("border", number))
        self.counts = defaultdict(dict)  # context -> token -> count
        for gram, count in occurrences.items():
            distinct = smoothing == "kneser-ney" and len(gram) < order
            self.counts[gram[:-1]][gram[-1]] = len(neighbours[gram]) if distinct else count
        self.discounts = {}
        for length in range(1, order + 1):
            frequencies = Counter(
                count
                for context, tokens in self.counts.items()
                if len(context) == length - 1
                for count in tokens.values()
            )
            ones, twos = frequencies[1], frequencies[2]
            self.discounts[length] = ones / (ones + 2 * twos) if ones and twos else 0.5

    def prob(self, context, token):
        """Return p(token | context) by the equations of the papers."""
        context = tuple(context)[max(0, len(context) - self.order + 1) :]
        lower = self.prob(context[1:], token) if context else 1 / self.vocab_size
        if context not in self.counts:
            return lower
        tokens = self.counts[context]
        total, types = sum(tokens.values()), len(tokens)
        if self.smoothing == "witten-bell":
            kept = total / (total + types)
            return kept * tokens.get(token, 0) / total + (1 - kept) * lower
        discount = self.discounts[len(context) + 1]
        return max(tokens.get(token, 0) - discount, 0) / total + discount * types / total * lower

    def probs(self, sequences):
        return np.array(
            [self.prob(sequence[:end], sequence[end]) for sequence in sequences for end in range(1, len(sequence))]
        )


def flat(sequences):
    ids = np.array([token for sequence in sequences for token in sequence], dtype=np.int64)
    return ids, np.cumsum([0, *map(len, sequences)])


def random_sequences(seed, lengths, vocab_size):
    """Return texts with repetitions: most tokens are the previous one plus one."""
    generator = np.random.default_rng(seed)
    sequences = []
    for length in lengths:
        steps = generator.choice([1, 1, 1, 2, 3], size=length)
        sequences.append((np.cumsum(steps) % vocab_size).tolist())
    return sequences


texts = st.lists(st.lists(st.integers(0, 4), max_size=12), min_size=1, max_size=5)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("lengths", [[200], [30, 1, 2, 50, 3, 4, 60]])
def test_agrees_with_the_textbook_recursion(order, smoothing, lengths):
    train = random_sequences(order, lengths, vocab_size=7)
    test = random_sequences(99, [40, 1, 2, 3, 20], vocab_size=9)  # tokens 7 and 8 were never seen
    model = NgramModel(order=order, smoothing=smoothing).fit(*flat(train), vocab_size=10)
    oracle = DictionaryModel(order, smoothing, train, vocab_size=10)
    # 1e-12: both are float64 and differ in the order of at most 5 levels of multiplication and addition
    np.testing.assert_allclose(model.log_probs(*flat(test)), np.log(oracle.probs(test)), rtol=0, atol=1e-12)
    for context in ([], [3], [8], [3, 4], test[0][:6]):
        expected = [oracle.prob(context, token) for token in range(10)]
        np.testing.assert_allclose(model.next_probs(np.array(context, dtype=int)), expected, rtol=0, atol=1e-12)


@settings(max_examples=60)
@given(train=texts, test=texts, order=st.integers(1, 6), smoothing=st.sampled_from(SMOOTHINGS))
def test_agrees_with_the_textbook_on_any_small_text(train, test, order, smoothing):
    train = [*train, [0, 1]]  # at least one token to predict
    model = NgramModel(order=order, smoothing=smoothing).fit(*flat(train), vocab_size=5)
    expected = np.log(DictionaryModel(order, smoothing, train, vocab_size=5).probs(test))
    np.testing.assert_allclose(model.log_probs(*flat(test)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("order", [1, 2, 4])
def test_every_context_sums_to_one(order, smoothing):
    vocab_size = 5  # token 4 never occurs
    model = NgramModel(order=order, smoothing=smoothing).fit(*flat(random_sequences(0, [60, 5, 9], 4)), vocab_size)
    for length in range(order + 1):
        contexts = list(product(range(vocab_size), repeat=length))
        sums = [model.next_probs(np.array(context, dtype=int)).sum() for context in contexts]
        np.testing.assert_allclose(sums, 1, rtol=0, atol=1e-12)
        if length:  # the same through log_probs, one sequence for each context and token
            sequences = [[*context, token] for context in contexts for token in range(vocab_size)]
            last = np.cumsum([len(sequence) - 1 for sequence in sequences]) - 1
            sums = np.exp(model.log_probs(*flat(sequences))[last]).reshape(-1, vocab_size).sum(1)
            np.testing.assert_allclose(sums, 1, rtol=0, atol=1e-12)


def test_probabilities_computed_by_hand():
    # "0 1 0 1 2": bigrams 01 10 01 12. Distinct left neighbours: 0 has {1}, 1 has {0}, 2 has {1}: no 2s, so D = 1/2.
    ids, offsets = flat([[0, 1, 0, 1, 2]])
    kneser_ney = NgramModel(order=2).fit(ids, offsets, vocab_size=4)
    unigram = np.array([0.5, 0.5, 0.5, 0]) / 3 + 0.5 * 3 / 3 / 4
    np.testing.assert_allclose(kneser_ney.next_probs(np.array([], dtype=int)), unigram)
    # Counts of bigrams: 01 twice, 10 and 12 once: D = 2 / (2 + 2 * 1) = 1/2.
    np.testing.assert_allclose(kneser_ney.next_probs(np.array([0])), np.array([0, 1.5, 0, 0]) / 2 + 0.5 / 2 * unigram)
    # Witten-Bell: 4 predicted tokens of 3 types; after 1 came 0 and 2.
    witten_bell = NgramModel(order=2, smoothing="witten-bell").fit(ids, offsets, vocab_size=4)
    unigram = (np.array([1, 2, 1, 0]) + 3 / 4) / 7
    np.testing.assert_allclose(witten_bell.next_probs(np.array([1])), (np.array([1, 0, 1, 0]) + 2 * unigram) / 4)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_no_context_crosses_a_boundary(smoothing):
    sequences = random_sequences(5, [20, 7, 13], vocab_size=6)
    model = NgramModel(order=4, smoothing=smoothing).fit(*flat(sequences), vocab_size=6)
    one_by_one = [model.log_probs(*flat([sequence])) for sequence in sequences]
    np.testing.assert_array_equal(model.log_probs(*flat(sequences)), np.concatenate(one_by_one))
    # The order of the sequences does not matter, nor do empty ones or those with nothing to predict.
    shuffled = NgramModel(order=4, smoothing=smoothing).fit(*flat([[], *sequences[::-1], [3], []]), vocab_size=6)
    np.testing.assert_array_equal(model.log_probs(*flat(sequences)), shuffled.log_probs(*flat(sequences)))
    assert shuffled.num_parameters == model.num_parameters


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_an_order_longer_than_the_text_changes_nothing_for_unseen_contexts(smoothing):
    model = NgramModel(order=9, smoothing=smoothing).fit(*flat([[0, 1, 2]]), vocab_size=4)
    assert model.num_parameters == 2 + 2 + 1  # 1 and 2; 01 and 12; 012
    assert np.isfinite(model.log_probs(*flat([[3, 3, 0, 1, 2, 2, 1, 0, 1, 2, 3, 0]]))).all()
    np.testing.assert_array_equal(model.next_probs(np.array([3])), model.next_probs(np.array([], dtype=int)))


def test_unseen_contexts_are_counted_at_full_length_only():
    train = [[0, 1, 2, 0, 1, 3]]
    test = [[0, 1, 2, 0, 2, 0], [1], [2, 0]]
    contexts = [tuple(sequence[end - 2 : end]) for sequence in test for end in range(2, len(sequence))]
    seen = {tuple(sequence[end - 2 : end]) for sequence in train for end in range(2, len(sequence))}
    expected = (sum(context not in seen for context in contexts), len(contexts))
    assert expected == (1, 4)
    assert NgramModel(order=3).fit(*flat(train), vocab_size=4).unseen_contexts(*flat(test)) == expected
    assert NgramModel(order=1).fit(*flat(train), vocab_size=4).unseen_contexts(*flat(test)) == (0, 6)
    assert NgramModel(order=30).fit(*flat(train), vocab_size=4).unseen_contexts(*flat(test)) == (0, 0)
    assert NgramModel(order=8).fit(*flat(train), vocab_size=4).unseen_contexts(*flat([train[0] * 2])) == (5, 5)
    # "1 3" is the end of the training text and never followed by anything.
    assert NgramModel(order=3).fit(*flat(train), vocab_size=4).unseen_contexts(*flat([[1, 3, 0]])) == (1, 1)


def test_size_is_that_of_the_ngrams_stored():
    sequences = random_sequences(1, [300, 20], vocab_size=8)
    model = NgramModel(order=4).fit(*flat(sequences), vocab_size=8)
    grams = {
        tuple(s[end - n + 1 : end + 1]) for s in sequences for n in range(1, 5) for end in range(max(1, n - 1), len(s))
    }
    assert model.num_parameters == len(grams)
    assert 12 * len(grams) <= model.nbytes <= 24 * len(grams)  # a key of 8 bytes, a count of 4, and sums over contexts


def test_a_higher_order_helps_until_the_context_is_long_enough():
    sequences = [([0, 0, 1, 1, 2] * 40)]  # the token after 1 or 0 depends on two tokens, not on one
    loss = [
        -NgramModel(order=n).fit(*flat(sequences), vocab_size=3).log_probs(*flat(sequences)).mean() for n in (1, 2, 3)
    ]
    assert all(longer < shorter - 0.3 for shorter, longer in pairwise(loss))


def test_generation_is_seeded_and_follows_the_model():
    model = NgramModel(order=3).fit(*flat([[0, 1, 2, 3] * 30]), vocab_size=5)
    first, again, other = (model.generate(np.array([0, 1]), 50, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.dtype == np.int64
    assert first.shape == (50,)
    np.testing.assert_array_equal(first, again)
    assert other.shape == (50,)
    greedy = model.generate(np.array([0, 1]), 6, np.random.default_rng(0), temperature=0)
    assert greedy.tolist() == [2, 3, 0, 1, 2, 3]
    cold = model.generate(np.array([0, 1]), 6, np.random.default_rng(0), temperature=1e-3)
    assert cold.tolist() == greedy.tolist()
    assert model.generate(np.array([], dtype=int), 3, np.random.default_rng(0)).shape == (3,)
    assert model.generate(np.array([0]), 0, np.random.default_rng(0)).shape == (0,)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_generation_samples_with_the_models_probabilities(temperature):
    model = NgramModel(order=1).fit(*flat([[0] * 2 + [1] * 5 + [2] * 9]), vocab_size=4)
    drawn = model.generate(np.array([], dtype=int), 4000, np.random.default_rng(0), temperature=temperature)
    expected = model.next_probs(np.array([], dtype=int)) ** (1 / temperature)
    # 0.03 is above three standard deviations of a share of 4,000 draws, at most 0.008 each
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 4000, expected / expected.sum(), atol=0.03)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_any_integer_dtype_is_accepted(dtype):
    ids, offsets = flat([[200, 1, 200, 2, 200, 1]])
    model = NgramModel(order=3).fit(ids, offsets, vocab_size=256)
    other = NgramModel(order=3).fit(ids.astype(dtype), offsets.astype(np.int32), vocab_size=256)
    np.testing.assert_array_equal(model.log_probs(ids, offsets), other.log_probs(ids.astype(dtype), offsets))


def test_a_vocabulary_of_words_and_order_8():
    generator = np.random.default_rng(0)
    ids = generator.zipf(1.3, size=20_000).clip(max=30_000) - 1
    model = NgramModel(order=8).fit(ids, np.array([0, len(ids)]), vocab_size=30_000)
    np.testing.assert_allclose(model.next_probs(ids[100:120]).sum(), 1, atol=1e-12)
    oracle = DictionaryModel(8, "kneser-ney", [ids.tolist()], 30_000)
    test = [*ids[500:600].tolist(), 29_999, 5]
    np.testing.assert_allclose(np.exp(model.log_probs(*flat([test]))), oracle.probs([test]), rtol=1e-11)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"order": 0}, "order = 0, but the minimum is 1"),
        ({"smoothing": "kneser-nay"}, 'did you mean "kneser-ney"'),
    ],
)
def test_wrong_settings(settings_, message):
    with pytest.raises(UsageError, match=message):
        NgramModel(**settings_).fit(*flat([[0, 1]]), vocab_size=2)


def test_wrong_texts():
    model = NgramModel(order=2)
    with pytest.raises(UsageError, match="call fit"):
        model.next_probs(np.array([0]))
    for offsets in ([], [0], [0, 1], [1, 2], [0, 2, 1, 2]):
        with pytest.raises(UsageError, match="for one stream give"):
            model.fit(np.array([0, 1]), np.array(offsets, dtype=np.uint64), vocab_size=2)
    with pytest.raises(UsageError, match="encode the text first"):
        model.fit(np.array([0.0, 1.0]), np.array([0, 2]), vocab_size=2)
    with pytest.raises(UsageError, match="vocab_size = 0"):
        model.fit(np.array([0, 1]), np.array([0, 2]), vocab_size=0)
    for wrong in (2, -1):
        with pytest.raises(DataError, match=f"token id {wrong} is outside the vocabulary, 0 to 1"):
            model.fit(np.array([0, wrong]), np.array([0, 2]), vocab_size=2)
    for sequences in ([[]], [[0], [1]]):
        with pytest.raises(DataError, match="give a longer text"):
            model.fit(*flat(sequences), vocab_size=2)
    model.fit(np.array([0, 1]), np.array([0, 2]), vocab_size=2)
    assert model.log_probs(*flat([[]])).shape == (0,)
    with pytest.raises(DataError, match="token id 5"):
        model.next_probs(np.array([5]))
    with pytest.raises(UsageError, match="temperature = -1"):
        model.generate(np.array([0]), 1, np.random.default_rng(0), temperature=-1)
    with pytest.raises(UsageError, match="num_tokens = -1"):
        model.generate(np.array([0]), -1, np.random.default_rng(0))
