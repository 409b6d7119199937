"""Captions: words against the Stanford tokenizer's, figures against pycocoevalcap's and against the equations."""

import math
from collections import Counter
from itertools import chain

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from tests.metrics.test_texts import texts

from elman.metrics.captions import SIGMA, caption_metrics, cider, split_caption

WRITTEN = [
    "A man in a blue shirt isn't standing on a ladder.",
    "Two dogs run through the tall grass",
    "a child's red, red ball",
    "A woman reads a book (a novel) at 10:30am.",
]
REFERENCES = [
    [
        "A man wearing a blue shirt stands on a ladder, cleaning a window.",
        "A man in a blue T-shirt is standing on a ladder.",
    ],
    ["Two dogs run through the grass.", "Two brown dogs are running in the tall grass!", "dogs run"],
    ["The child's ball is red."],
    ["A woman is reading a novel.", "At 10:30am a woman reads a book"],
]

STANFORD = {  # captions, and their tokens from the Stanford tokenizer 3.4.1 without COCO's punctuation marks
    'He "said" (really): "no"...': "he said -lrb- really -rrb- no",
    "it's a two-year-old's T-shirt; I've seen it, don't": "it 's a two-year-old 's t-shirt i 've seen it do n't",
    "the dogs' toys": "the dogs toys",
    "Mr. Smith at St. John Ave. at 5 p.m.": "mr. smith at st. john ave. at 5 p.m.",
    "the U.S. A. N. Other": "the u.s. a. n. other",
    "I cannot, gonna wanna gotta gimme lemme 'tis": "i can not gon na wan na got ta gim me lem me 't is",
    "10,000 people, 3.5 ft. tall, 1/2 of $5.00, 50% off, #1": "10,000 people 3.5 ft. tall 1/2 of $ 5.00 50 % off # 1",
    "10:30am, the 1990s, the '90s, 5'10\"": "10:30 am the 1990s the '90s 5 10",
    "rock 'n' roll, hors d'oeuvres, o'clock": "rock 'n' roll hors d'oeuvres o'clock",
    "R&B, Q&amp;A, this & that, and/or": "r&b q&a this & that and/or",
    "a – b — c … “x” it’s café": "a b c x it 's café",
    "see www.example.com or a@b.co.uk": "see www.example.com or a@b.co.uk",
    "what?! no!!! wait.....": "what ?! no !!! wait",
    "": "",
}


@pytest.mark.parametrize("caption", STANFORD)
def test_words_are_the_stanford_tokenizers(caption):
    assert split_caption(caption) == STANFORD[caption].split()


def test_figures_are_those_of_pycocoevalcap():
    figures = caption_metrics(WRITTEN, REFERENCES)
    # pycocoevalcap 1.2 with Java adds 1e-9 to the denominators of BLEU
    bleus = [83.78378378151936, 74.73677532022214, 64.60501765248856, 52.419055921525405]
    assert [figures[f"bleu{order}"] for order in range(1, 5)] == pytest.approx(bleus, abs=1e-6)
    assert figures["cider_d"] == pytest.approx(3.3803635286764115, abs=1e-12)
    assert 0 < figures["cider_d"] < figures["cider"]


def test_cider_d_follows_its_equation():
    written, wanted = texts(12, 7), [texts(1 + row % 3, 200 + row) for row in range(12)]

    def grams(text, size):
        words = text.split()
        return [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]

    total = 0.0
    for size in range(1, 5):
        every = sorted({gram for text in chain(written, *wanted) for gram in grams(text, size)})
        for text, some in zip(written, wanted, strict=True):
            for other in some:
                ours, theirs = Counter(grams(text, size)), Counter(grams(other, size))
                g_c, g_r = [], []
                for gram in every:
                    pictures = sum(any(gram in grams(one, size) for one in references) for references in wanted)
                    weight = math.log(len(wanted) / max(pictures, 1))
                    g_c.append(ours[gram] * weight)
                    g_r.append(theirs[gram] * weight)
                norms = math.dist(g_c, [0] * len(every)) * math.dist(g_r, [0] * len(every))
                product = sum(min(c, r) * r for c, r in zip(g_c, g_r, strict=True))
                difference = len(text.split()) - len(other.split())
                penalty = math.exp(-(difference**2) / (2 * 6**2))
                total += 10 / 4 / 12 / len(some) * penalty * (product / norms if norms else 0)
    assert cider(written, wanted, SIGMA) == pytest.approx(total, rel=1e-12)
    assert total > 0


def test_repeating_a_word_or_length_does_not_raise_cider_d():
    wanted = [["a red ball on grass"], ["two dogs"]]
    right, repeated, longer = ([text, "two dogs"] for text in ("a red ball", "a red red ball", "a red ball a red ball"))
    assert cider(right, wanted, SIGMA) > cider(repeated, wanted, SIGMA)
    assert cider(right, wanted, SIGMA) > cider(longer, wanted, SIGMA)


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


def test_a_caption_is_compared_with_all_its_references():
    figures = caption_metrics(["A red Circle.", "a dog"], [["a blue square", "a red circle"], ["a cat"]])
    assert figures["exact"] == 0.5
    # four of the five words are in a reference; no text is shorter than its references
    assert figures["bleu1"] == pytest.approx(100 * 4 / 5)
    same = caption_metrics(["a red circle left of it"] * 2, [["a red circle left of it", "x"]] * 2)
    assert [same[f"bleu{order}"] for order in range(1, 5)] == pytest.approx([100.0] * 4)
