"""ROUGE against rouge-score, CIDEr against scikit-learn's counts, BLEU against sacrebleu's own command."""

import random

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import corpus_bleu, corpus_chrf
from sklearn.feature_extraction.text import CountVectorizer

from elman.metrics.texts import caption_metrics, cider, rouge, translation_metrics

WORDS = ("a", "man", "in", "the", "blue", "shirt", "stands", "on", "ladder", "dog", "runs", "through", "grass")


def texts(number, seed, shortest=0):
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS, k=generator.randint(shortest, 12))) for _ in range(number)]


def test_rouge_agrees_with_rouge_score():
    written, wanted = texts(80, 1), texts(80, 2, shortest=1)
    written += ["The Quick, brown fox!", "no-one's here", wanted[0]]
    wanted += ["the quick brown dog", "no one s there", wanted[0]]
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    scores = [scorer.score(other, one) for one, other in zip(written, wanted, strict=True)]
    figures = rouge(written, wanted)
    for name in ("rouge1", "rouge2", "rougeL"):
        assert figures[name] == pytest.approx(np.mean([score[name].fmeasure for score in scores]), abs=1e-12)


def test_rouge_reads_other_scripts():
    assert rouge(["кошка спит"], ["кошка бежит"])["rouge1"] == pytest.approx(0.5)


def test_cider_agrees_with_tf_idf_vectors():
    written = texts(30, 3, shortest=4)
    wanted = [texts(1 + row % 3, 100 + row, shortest=4) for row in range(30)]
    total = 0.0
    for size in range(1, 5):
        counter = CountVectorizer(ngram_range=(size, size), token_pattern=r"\w+")
        counter.fit([*written, *(text for some in wanted for text in some)])
        document = np.array([counter.transform(some).sum(axis=0).A1 > 0 for some in wanted])
        weight = np.log(len(written) / np.maximum(document.sum(axis=0), 1))

        def vectors(some, counter=counter, weight=weight):
            counts = counter.transform(some).toarray()
            shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * weight
            return shares / np.maximum(np.linalg.norm(shares, axis=1, keepdims=True), 1e-300)

        for one, some in zip(written, wanted, strict=True):
            total += (vectors([one]) @ vectors(some).T).mean()
    assert cider(written, wanted) == pytest.approx(10 * total / 4 / 30, abs=1e-9)
    assert cider(written, wanted) > 0


def test_bleu_and_chrf_agree_with_sacrebleu():
    written, wanted = texts(40, 5), texts(40, 6)
    figures, signatures = translation_metrics(written, wanted)
    assert figures["bleu"] == corpus_bleu(written, [wanted]).score
    assert figures["chrf"] == corpus_chrf(written, [wanted]).score
    assert "tok:13a" in signatures["bleu_signature"]
    assert "nc:6" in signatures["chrf_signature"]


def test_a_caption_is_compared_with_all_its_references():
    figures = caption_metrics(["A red Circle.", "a dog"], [["a blue square", "a red circle"], ["a cat"]])
    assert figures["exact"] == 0.5
    # four of the six tokens, including the full stop, are in a reference; no text is shorter than its references
    assert figures["bleu1"] == pytest.approx(100 * 4 / 6)
    same = caption_metrics(["a red circle left of it"] * 2, [["a red circle left of it", "x"]] * 2)
    assert [same[f"bleu{order}"] for order in range(1, 5)] == pytest.approx([100.0] * 4)
