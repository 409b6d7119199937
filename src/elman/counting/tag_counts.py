"""Baselines for a recurrent tagger: the majority tag, the most frequent tag of each word, and a hidden Markov model.

The first two ignore context. The hidden Markov model uses the previous tag, and chooses all tags of a sentence jointly:

    argmax over tags of the sum over i of  log p(tag_i | tag_{i-1}) + log p(word_i | tag_i)

    p(tag | tag before) = (count(tag before, tag) + a) / (count(tag before) + a (K + 1))      K tags and the border
    p(word | tag) = p(tag | word) p(word) / p(tag)                   p(word) does not depend on the tags: omitted

`p(tag | word)` is estimated from increasingly specific views of the word, each smoothed by the previous one. So a
frequent word is tagged by its own counts, and an unseen word like the rare words with the same shape and ending:

    every word ──▶ rare words ──▶ of the same shape ──▶ that end in the same letter ──▶ ... 10 letters ──▶ the word

    p(tag | view) = (count(view, tag) + a p(tag | view before)) / (count(view) + a)           a is `smoothing`
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import chain, pairwise
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from elman.errors import DataError, UsageError

Sentences: TypeAlias = Sequence[Sequence[str]]
Floats: TypeAlias = npt.NDArray[np.float64]

RARE = 10  # the highest count of a word that is used to guess the tags of unseen words (Brants 2000, section 2.3)
LONGEST_ENDING = 10  # letters (ibid.)


class TaggingBaseline(ABC):
    """The base class of the taggers in this module, which count in `fit` and look up in `predict`."""

    _is_fitted = False

    def fit(self, sentences: Sentences, tags: Sentences) -> Self:
        """Count the tags of some sentences.

        Args:
            sentences: the words of each sentence.
            tags: a tag for every word.

        Returns:
            The tagger itself.

        Raises:
            UsageError: words and tags do not match.
            DataError: there are no words.
        """
        if len(sentences) != len(tags):
            raise UsageError(f"{len(sentences)} sentences, but tags for {len(tags)}; give a list of tags for each")
        for number, (words, own) in enumerate(zip(sentences, tags, strict=True), start=1):
            if len(words) != len(own):
                raise UsageError(f"sentence {number}: {len(words)} words, but {len(own)} tags; give one for each word")
        if not any(map(len, sentences)):
            raise DataError(f"there are no words in the {len(sentences)} sentences to count; give tagged words")
        self._count(sentences, tags)
        self._is_fitted = True
        return self

    def predict(self, sentences: Sentences) -> list[list[str]]:
        """Tag sentences.

        Args:
            sentences: the words of each.

        Returns:
            A tag for every word.

        Raises:
            UsageError: the tagger is not fitted.
        """
        self._check_fitted()
        return self._look_up(sentences)

    @property
    def num_parameters(self) -> int:
        """The number of values that the tagger stores."""
        self._check_fitted()
        return self._count_parameters()

    def _check_fitted(self) -> None:
        if not self._is_fitted:
            raise UsageError(f"this {type(self).__name__} is not fitted yet; call fit(sentences, tags) first")

    @abstractmethod
    def _count(self, sentences: Sentences, tags: Sentences) -> None: ...

    @abstractmethod
    def _look_up(self, sentences: Sentences) -> list[list[str]]: ...

    @abstractmethod
    def _count_parameters(self) -> int: ...


class MajorityTagger(TaggingBaseline):
    """Tag every word with the most frequent tag overall; in a tie, with the one that occurs first.

    Example:
        >>> MajorityTagger().fit([["the", "cat", "sat"]], [["DET", "NOUN", "NOUN"]]).predict([["a", "dog"]])
        [['NOUN', 'NOUN']]
    """

    def _count(self, sentences: Sentences, tags: Sentences) -> None:
        self._tag = _pick_most_frequent(Counter(chain.from_iterable(tags)))

    def _look_up(self, sentences: Sentences) -> list[list[str]]:
        return [[self._tag] * len(words) for words in sentences]

    def _count_parameters(self) -> int:
        return 1


class MostFrequentTagger(TaggingBaseline):
    """Tag each word with its most frequent tag; in a tie, with the one that occurs first.

    An unseen word gets the most frequent tag of the words that were seen only once, which resemble it most (or of all
    words if none was seen only once).

    Source: Jurafsky and Martin, "Speech and language processing", 3rd edition draft, chapter "Sequence labeling for
    parts of speech and named entities": the most frequent class baseline.

    Example:
        >>> words, tags = ["the", "cat", "and", "the", "dog"], ["DET", "NOUN", "CCONJ", "DET", "NOUN"]
        >>> MostFrequentTagger().fit([words], [tags]).predict([["the", "bird"]])
        [['DET', 'NOUN']]
    """

    def _count(self, sentences: Sentences, tags: Sentences) -> None:
        counts = _count_tags_by_word(sentences, tags)
        once = [own for own in counts.values() if own.total() == 1]
        self._unseen = _pick_most_frequent(_sum(once or counts.values()))
        self._tags = {word: _pick_most_frequent(own) for word, own in counts.items()}

    def _look_up(self, sentences: Sentences) -> list[list[str]]:
        return [[self._tags.get(word, self._unseen) for word in words] for words in sentences]

    def _count_parameters(self) -> int:
        return len(self._tags) + 1


class HiddenMarkovModel(TaggingBaseline):
    """A first-order hidden Markov model, from the previous tag and the word, its shape and its ending.

    See the top of this module for the equations. The best tags of a sentence are found by the Viterbi algorithm, in K²
    steps for each word.

    Source: Brants (2000), "TnT: a statistical part-of-speech tagger", ANLP, section 2.3: the tags of unseen words from
    the endings of rare words, capitalised or not, inverted by Bayes' rule. TnT looks back two tags; its interpolation
    weights are replaced here by one pseudo-count for every view.

    Args:
        smoothing: the pseudo-count: for each transition, and in total for each view of a word. Above 0.

    Raises:
        UsageError: `smoothing` is not a number above 0.

    Example:
        >>> sentences = [["I", "fish"], ["the", "fish", "swims"], ["I", "see", "the", "fish"]]
        >>> tags = [["PRON", "VERB"], ["DET", "NOUN", "VERB"], ["PRON", "VERB", "DET", "NOUN"]]
        >>> HiddenMarkovModel(smoothing=0.1).fit(sentences, tags).predict([["I", "fish", "the", "fish"]])
        [['PRON', 'VERB', 'DET', 'NOUN']]
    """

    def __init__(self, smoothing: float = 1.0) -> None:
        if not 0 < smoothing < np.inf:
            raise UsageError(f"smoothing = {smoothing}, but it must be a number above 0; 1 is usual")
        self.smoothing = smoothing

    def _count(self, sentences: Sentences, tags: Sentences) -> None:
        self._tags = sorted(set(chain.from_iterable(tags)))
        ids = {tag: number for number, tag in enumerate(self._tags)}
        border = len(ids)  # K: the index before the first tag and after the last one
        self._transitions = np.zeros((border + 1, border + 1), np.int64)  # (K + 1, K + 1): from, to
        for own in tags:
            for before, after in pairwise([border, *(ids[tag] for tag in own), border]):
                self._transitions[before, after] += 1
        self._views: defaultdict[Hashable, Counter[str]] = defaultdict(Counter)
        for word, counts in _count_tags_by_word(sentences, tags).items():
            for view in _list_views(word) if counts.total() <= RARE else [word]:
                self._views[view].update(counts)

    def _look_up(self, sentences: Sentences) -> list[list[str]]:
        smooth = self._transitions + self.smoothing
        transitions = np.log(smooth / smooth.sum(axis=1, keepdims=True))  # (K + 1, K + 1)
        tag_counts = self._transitions[:-1].sum(axis=1)  # (K,)
        prior = tag_counts / tag_counts.sum()  # (K,): p(tag)
        emissions = {word: np.log(self._tag_probs(word, prior) / prior) for word in set(chain.from_iterable(sentences))}
        paths = (_viterbi([emissions[word] for word in words], transitions) for words in sentences)
        return [[self._tags[tag] for tag in path] for path in paths]

    def _tag_probs(self, word: str, prior: Floats) -> Floats:
        """Return p(tag | word), shape (K,)."""
        probs = prior
        for view in _list_views(word):
            if seen := self._views.get(view):
                counts = np.array([seen[tag] for tag in self._tags])  # (K,)
                probs = (counts + self.smoothing * probs) / (counts.sum() + self.smoothing)
        return probs

    def _count_parameters(self) -> int:
        return int(np.count_nonzero(self._transitions)) + sum(map(len, self._views.values()))


def _viterbi(emissions: Sequence[Floats], transitions: Floats) -> list[int]:
    """Find the tags with the highest total score, from (T, K) emissions and (K + 1, K + 1) transitions."""
    if not len(emissions):
        return []
    inner = transitions[:-1, :-1]  # (K, K)
    best = transitions[-1, :-1] + emissions[0]  # (K,): the best path that ends in each tag
    origins = []
    for scores in emissions[1:]:
        paths = best[:, None] + inner  # (K, K)
        origins.append(paths.argmax(axis=0))
        best = paths.max(axis=0) + scores
    path = [int((best + transitions[:-1, -1]).argmax())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return path[::-1]


def _list_views(word: str) -> list[Hashable]:
    """List the views of a word, from the most general (any word) to the most specific (the word itself)."""
    shape = word[:1].isupper(), any(map(str.isdigit, word)), any(map(str.isalpha, word))
    endings = [word[len(word) - length :] for length in range(min(len(word), LONGEST_ENDING) + 1)]
    return [(), *((shape, ending) for ending in endings), word]


def _count_tags_by_word(sentences: Sentences, tags: Sentences) -> dict[str, Counter[str]]:
    """Count how often each word has each tag."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for word, tag in zip(chain.from_iterable(sentences), chain.from_iterable(tags), strict=True):
        counts[word][tag] += 1
    return counts


def _pick_most_frequent(counts: Counter[str]) -> str:
    return counts.most_common(1)[0][0]


def _sum(counters: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total
