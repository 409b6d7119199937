"""How the plan of a classifier was chosen: candidate settings on sets of many shapes, beside word counts.

    python benchmarks/plan.py DATA [--sets sst2-2000 reviews-400] [--epochs 8] [--variant 'pooling="attention"' ...]

DATA holds the folders sst2, twitter_airline and multi30k. All trainings of a set make the same number of passes over
it, on one thread. Prints a row for each set and variant as soon as it is done, with the seconds of the processor, then,
for each variant, how far it is from TF-IDF and logistic regression in the mean and on its worst set. RESULTS.md has a
dated table.
"""

from __future__ import annotations

import argparse
import csv
import random
import statistics
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from elman import Classifier
from elman.counting.word_counts import text_baseline

Labelled = tuple[list[str], list[str]]
VARIANTS = ["", 'pooling="mean"', 'pooling="attention"', "hidden_size=50", "learning_rate=0.006", "word_dropout=4.0"]


def sentiment(data: Path, number: int) -> tuple[Labelled, Labelled]:
    """Return sentences of SST-2, and others: those of its development set and of the rest of its training set."""
    train, valid = (read_sentiment(data, part) for part in ("train", "dev"))
    held_out = [*valid, *train[number : number + 2500]]
    return as_columns(train[:number]), as_columns(held_out)


def tweets(data: Path, number: int) -> tuple[Labelled, Labelled]:
    """Return tweets to airlines, in three classes."""
    with (data / "twitter_airline" / "Tweets.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["airline_sentiment"]) for row in csv.DictReader(file)]
    random.Random(0).shuffle(rows)
    return as_columns(rows[:number]), as_columns(rows[number : number + 2000])


def reviews(data: Path, number: int, words: int, share: float, agreeing: float) -> tuple[Labelled, Labelled]:
    """Return long texts: sentences of SST-2 between captions. Only some of the sentences agree with the label."""
    generator = random.Random(0)
    sentences, captions = read_sentiment(data, "train"), read_captions(data)
    generator.shuffle(captions)

    def write(sentences: list[tuple[str, str]], captions: list[str], number: int) -> Labelled:
        by_label = {label: [text for text, own in sentences if own == label] for label in "01"}
        texts, labels = [], []
        for row in range(number):
            label, parts, length = str(row % 2), list[str](), 0
            wanted = max(generator.gauss(words, words / 3), words / 4)
            while length < wanted:
                other = label if generator.random() < agreeing else "10"[int(label)]
                parts.append(generator.choice(by_label[other] if generator.random() < share else captions))
                length += len(parts[-1].split())
            texts.append(" ".join(parts))
            labels.append(label)
        return texts, labels

    cut, caption_cut = len(sentences) * 4 // 5, len(captions) * 4 // 5
    return (
        write(sentences[:cut], captions[:caption_cut], number),
        write(sentences[cut:], captions[caption_cut:], 400),
    )


def missing_words(data: Path, number: int, labels: int) -> tuple[Labelled, Labelled]:
    """Return captions without one of their frequent words, which is the label."""
    generator = random.Random(0)
    captions = read_captions(data)
    generator.shuffle(captions)
    counts = Counter(word for caption in captions for word in set(caption.split()))
    known = {word for word, _ in counts.most_common(labels + 30)[30:]}
    rows = []
    for words in map(str.split, captions):
        if places := [place for place, word in enumerate(words) if word in known]:
            place = generator.choice(places)
            rows.append((" ".join([*words[:place], "_", *words[place + 1 :]]), words[place]))
    return as_columns(rows[:number]), as_columns(rows[number : number + 1000])


def read_sentiment(data: Path, part: str) -> list[tuple[str, str]]:
    lines = (data / "sst2" / f"{part}.tsv").read_text(encoding="utf-8").splitlines()
    rows = [(text, label) for text, label in (line.split("\t") for line in lines)]
    random.Random(0).shuffle(rows)
    return rows


def read_captions(data: Path) -> list[str]:
    return (data / "multi30k" / "tok" / "train.lc.norm.tok.en").read_text(encoding="utf-8").splitlines()


def as_columns(rows: list[tuple[str, str]]) -> Labelled:
    return [text for text, _ in rows], [label for _, label in rows]


SETS: dict[str, Callable[[Path], tuple[Labelled, Labelled]]] = {
    "sst2-200": partial(sentiment, number=200),
    "sst2-2000": partial(sentiment, number=2000),
    "tweets-2000": partial(tweets, number=2000),
    "reviews-100": partial(reviews, number=1200, words=100, share=0.7, agreeing=0.85),
    "reviews-300": partial(reviews, number=500, words=300, share=0.6, agreeing=0.8),
    "reviews-800": partial(reviews, number=400, words=800, share=0.4, agreeing=0.78),
    "200-labels": partial(missing_words, number=5000, labels=200),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--epochs", type=float, default=8)
    parser.add_argument("--variant", action="append", help="settings as in TOML, separated by commas; repeatable")
    given = parser.parse_args()
    margins: dict[str, list[float]] = {}
    print("| set | variant | accuracy | counts | nats/text | steps | seconds |\n|---|---|---|---|---|---|---|")
    for name in given.sets:
        train, (texts, labels) = SETS[name](given.data)
        predicted = text_baseline("tfidf", seed=1).fit(*train).predict(texts)
        counts = statistics.mean(map(str.__eq__, predicted, labels))
        for variant in given.variant or VARIANTS:
            settings = tomllib.loads("\n".join(variant.split(",")))
            began = time.process_time()
            model = Classifier(**{"epochs": given.epochs, "threads": 1, "keep": "last", "evaluations": 1} | settings)
            model.fit(*train, valid=(texts, labels))
            valid = model.metrics_["valid"]
            margins.setdefault(variant or "the plan", []).append(valid["accuracy"] - counts)
            print(
                f"| {name} | {variant or 'the plan'} | {valid['accuracy']:.1%} | {counts:.1%} | "
                f"{valid['nats_per_target']:.3f} | {model.metrics_['train']['steps']:,} | "
                f"{time.process_time() - began:.0f} |",
                flush=True,
            )
    print("\n| variant | mean distance from counts | worst |\n|---|---|---|")
    for variant, values in margins.items():
        print(f"| {variant} | {100 * statistics.mean(values):+.1f} | {100 * min(values):+.1f} |")


if __name__ == "__main__":
    main()
