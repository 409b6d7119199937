"""Baselines for a recurrent classifier: the most frequent label, and bags of words, which ignore word order.

text ──CountVectorizer──▶ counts (V,) of its words ──LogisticRegression | MLPClassifier──▶ label
                          (with bigrams: and of its pairs of adjacent words)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from elman.counting.words import check_labelled
from elman.errors import UsageError, how_to_install, suggest

TEXT_BASELINES = {
    "majority": "the most frequent label for every text",
    "logreg": "counts of words, logistic regression",
    "logreg2": "counts of words and of pairs of words, logistic regression",
    "tfidf": "TF-IDF of words, pairs of words and 2 to 5 characters, logistic regression",
    "mlp": "counts of words, one hidden layer of 100 units",
    "mlp2": "counts of words and of pairs of words, one hidden layer of 100 units",
}
"""A description of each baseline by its name."""


class TextBaseline(Protocol):
    """The common interface, that of scikit-learn's classifiers."""

    classes_: npt.NDArray[Any]
    """The K labels, sorted."""

    def fit(self, X: Sequence[str], y: Sequence[str]) -> Self:  # noqa: N803
        """Fit to texts and their labels."""

    def predict(self, X: Sequence[str]) -> npt.NDArray[Any]:  # noqa: N803
        """Return the label of each text, shape (N,)."""

    def predict_proba(self, X: Sequence[str]) -> npt.NDArray[np.floating[Any]]:  # noqa: N803
        """Return the probability of each label for each text, shape (N, K)."""


class MajorityClassifier:
    """Give every text the most frequent label; in a tie, the first in alphabetical order.

    Example:
        >>> model = MajorityClassifier().fit(["good", "fine", "bad", "great"], ["+", "+", "-", "+"])
        >>> model.predict(["awful"]).tolist(), model.predict_proba(["awful"]).tolist()
        (['+'], [[0.75, 0.25]])
    """

    classes_: npt.NDArray[Any]
    """The K labels, sorted."""

    def fit(self, X: Sequence[str], y: Sequence[str]) -> Self:  # noqa: N803
        """Count the labels of some texts.

        Raises:
            UsageError: texts and labels do not match.
            DataError: there are no texts.
        """
        check_labelled(X, y)
        self.classes_, counts = np.unique(np.asarray(y), return_counts=True)
        self._shares = counts / len(y)  # (K,)
        return self

    def predict(self, X: Sequence[str]) -> npt.NDArray[Any]:  # noqa: N803
        """Return the most frequent label for each text, shape (N,).

        Raises:
            UsageError: the model is not fitted.
        """
        best = self.predict_proba(X).argmax(axis=1)  # (N,)
        labels: npt.NDArray[Any] = self.classes_[best]
        return labels

    def predict_proba(self, X: Sequence[str]) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return the frequency of each label in training for each text, shape (N, K).

        Raises:
            UsageError: the model is not fitted.
        """
        if not hasattr(self, "_shares"):
            raise UsageError("this MajorityClassifier is not fitted yet; call fit(texts, labels) first")
        return np.tile(self._shares, (len(X), 1))


def text_baseline(name: str, seed: int) -> TextBaseline:
    """Make an unfitted baseline.

    Words are those of scikit-learn's `CountVectorizer`: at least two letters or digits, in lower case; `tfidf` takes
    everything between white space as a word. A text without words is an empty bag. `fit` is scikit-learn's and raises
    its `ValueError` if no training text has a word, if there is only one label, or if an `mlp`, which holds out a tenth
    for early stopping, has too few texts.

    Args:
        name: one of `TEXT_BASELINES`.
        seed: the seed of an `mlp`; the others are deterministic.

    Returns:
        A `MajorityClassifier`, or a scikit-learn `Pipeline`.

    Raises:
        UsageError: there is no such name, or scikit-learn is not installed.

    Example:
        >>> texts, labels = ["a good film", "good fun", "a bad film", "bad luck"], ["+", "+", "-", "-"]
        >>> text_baseline("logreg", seed=0).fit(texts, labels).predict(["so bad", "so good"]).tolist()
        ['-', '+']
    """
    if name not in TEXT_BASELINES:
        hint = suggest(name, TEXT_BASELINES) or ";"
        raise UsageError(f'there is no baseline "{name}"{hint} there are {", ".join(TEXT_BASELINES)}')
    if name == "majority":
        return MajorityClassifier()
    try:
        from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline, make_union
    except ImportError as error:
        raise UsageError(f'the baseline "{name}" needs scikit-learn: {how_to_install("sklearn")}') from error
    ngram_range = (1, 2) if name.endswith("2") else (1, 1)
    if name == "tfidf":
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
        letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, dtype=np.float32)
        pipeline = make_pipeline(make_union(words, letters), LogisticRegression(C=3, max_iter=2000))
    elif name.startswith("logreg"):  # long texts need about 500 iterations; too few give a warning
        pipeline = make_pipeline(CountVectorizer(ngram_range=ngram_range), LogisticRegression(max_iter=2000))
    else:  # float32 has half the time and memory of the default, with the same accuracy
        counts = CountVectorizer(ngram_range=ngram_range, dtype=np.float32)
        network = MLPClassifier(hidden_layer_sizes=(100,), early_stopping=True, random_state=seed)
        pipeline = make_pipeline(counts, network)
    baseline: TextBaseline = pipeline
    return baseline
