"""Naive Bayes on the words and pairs of words of a text: a classifier that counts, and needs no other package.

    argmax over labels of  log p(label) + sum over the terms of the text of log p(term | label)

    p(term | label) = (texts of the label with the term + 1) / (sum of these counts + V)        V distinct terms

A term is a word, or a pair of adjacent words; it counts once in each text. A text's unseen terms are skipped.

Source: Manning, Raghavan & Schütze (2008), "Introduction to information retrieval", section 13.2, with the counts
clipped at one in each text as in Wang & Manning (2012), "Baselines and bigrams", section 2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from elman.counting.words import Ints, WordNumbers, check_labelled
from elman.errors import UsageError


class NaiveBayes:
    """Classify texts by their words and pairs of words; see the top of this module.

    Example:
        >>> model = NaiveBayes().fit(["a good film", "good fun", "a bad film", "bad luck"], ["+", "+", "-", "-"])
        >>> model.predict(["so bad", "so good"])
        ['-', '+']
    """

    def fit(self, texts: Sequence[str], labels: Sequence[str]) -> Self:
        """Count the terms of some texts.

        Raises:
            UsageError: texts and labels do not match.
            DataError: there are no texts.
        """
        check_labelled(texts, labels)
        self._labels, own = np.unique(np.asarray(labels), return_inverse=True)  # (K,), (N,)
        num_labels = len(self._labels)
        self._words = WordNumbers()
        terms, rows = self._find_terms(*self._words.learn(texts), len(texts))
        self._terms, ranks = np.unique(terms, return_inverse=True)  # (V,), (occurrences,)
        cells, counts = np.unique(ranks * num_labels + own[rows], return_counts=True)  # of terms and labels, sorted
        self._starts = np.searchsorted(cells // num_labels, np.arange(len(self._terms) + 1))  # (V + 1,)
        self._cell_labels, self._cell_logs = cells % num_labels, np.log(counts + 1)
        totals = np.bincount(self._cell_labels, weights=counts, minlength=num_labels)  # (K,)
        self._unseen = -np.log(totals + len(self._terms) + 1e-12)  # (K,): log p(term | label) where it never occurs
        self._prior = np.log(np.bincount(own) / len(own))  # (K,)
        return self

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the most probable label of each text.

        Raises:
            UsageError: the model is not fitted.
        """
        best = self.log_scores(texts).argmax(axis=1)
        predicted: list[str] = self._labels[best].tolist()
        return predicted

    def log_scores(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the log of the joint probability of each text's known terms and each label, (N, K).

        Raises:
            UsageError: the model is not fitted.
        """
        if not hasattr(self, "_terms"):
            raise UsageError("this NaiveBayes is not fitted yet; call fit(texts, labels) first")
        scores = np.tile(self._prior, (len(texts), 1))
        terms, rows = self._find_terms(*self._words.find(texts), len(texts))
        if not len(self._terms):
            return scores
        ranks = np.minimum(np.searchsorted(self._terms, terms), len(self._terms) - 1)
        known = self._terms[ranks] == terms
        ranks, rows = ranks[known], rows[known]
        scores += np.bincount(rows, minlength=len(texts))[:, None] * self._unseen
        sizes = np.diff(self._starts)[ranks]  # of each term, the number of labels that it occurs with
        first = np.repeat(self._starts[ranks] - np.cumsum(sizes) + sizes, sizes)
        cells = first + np.arange(len(first))
        np.add.at(scores, (np.repeat(rows, sizes), self._cell_labels[cells]), self._cell_logs[cells])
        return scores

    def _find_terms(self, words: Ints, rows: Ints, num_texts: int) -> tuple[Ints, Ints]:
        """Return the distinct terms of each text as numbers, and the row of the text of each."""
        size, num_texts = len(self._words), max(num_texts, 1)
        known = words >= 0
        adjacent = known[1:] & known[:-1] & (rows[1:] == rows[:-1])
        pairs = size + words[:-1][adjacent] * size + words[1:][adjacent]
        terms = np.concatenate([words[known], pairs])
        keys = np.unique(terms * num_texts + np.concatenate([rows[known], rows[1:][adjacent]]))
        return keys // num_texts, keys % num_texts
