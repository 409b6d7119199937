"""ROUGE against rouge-score, BLEU and chrF against sacrebleu's own functions."""

import random

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import corpus_bleu, corpus_chrf

from elman.metrics.texts import rouge, translation_metrics

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


def test_bleu_and_chrf_agree_with_sacrebleu():
    written, wanted = texts(40, 5), texts(40, 6)
    figures, signatures = translation_metrics(written, wanted)
    assert figures["bleu"] == corpus_bleu(written, [wanted]).score
    assert figures["chrf"] == corpus_chrf(written, [wanted]).score
    assert "tok:13a" in signatures["bleu_signature"]
    assert "nc:6" in signatures["chrf_signature"]
