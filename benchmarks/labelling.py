"""Taggers and classifiers on public data: mean and spread over seeds, chosen on dev, evaluated on test.

    python benchmarks/labelling.py DATA ewt|ewt-vectors|wnut17|sst2|airline [--seeds 1 2 3] [--minutes M] [--speed]

DATA holds the folders ud_english_ewt, wnut17, sst2, twitter_airline and glove_wink_100d. With --speed, it also
times how fast the last model tags the test file, 40 times over, from file to file.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from sklearn.model_selection import train_test_split

from elman import Classifier, Tagger
from elman.cli.answers import answers
from elman.data.lines import Lines, Problems
from elman.training.progress import Progress


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("task", choices=["ewt", "ewt-vectors", "wnut17", "sst2", "airline"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other settings of the model")
    parser.add_argument("--speed", action="store_true")
    arguments = parser.parse_args()
    changes: dict[str, Any] = {}
    for name, value in (pair.split("=", 1) for pair in arguments.set):
        changes[name] = json.loads(value) if value[0].isdigit() or value in ("true", "false") else value
    results = []
    for seed in arguments.seeds:
        model, train, valid, test = prepare(arguments.data, arguments.task)
        if {"epochs", "steps"} & set(changes):
            model.set_params(minutes=None)
        model.set_params(seed=seed, **changes)
        if arguments.minutes is not None:
            model.set_params(minutes=arguments.minutes)
        model.fit(*train, valid=valid, progress=Progress())
        figures, valid_metrics = model.evaluate(*test), model.metrics_["valid"]
        results.append(
            {
                **figures,
                "seconds": model.metrics_["train"]["seconds"],
                "dev": valid_metrics.get("span_f1", valid_metrics["accuracy"]),
            }
        )
        print(seed, {name: round(value, 4) for name, value in results[-1].items()}, flush=True)
    for name in ("accuracy", "accuracy_unseen", "macro_f1", "span_f1"):
        values = [result[name] for result in results if name in result]
        if values:
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            print(f"{name:<16} {statistics.mean(values):.4f} ± {spread:.4f}")

    if arguments.speed:
        speeds = [words_per_second(model, test[0]) for _ in range(3)]
        print("words/s", *(f"{speed:,.0f}" for speed in speeds))


def words_per_second(model: Tagger, path: Path) -> float:
    """Tag a file 40 times over, from a file into a file of the same format."""
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name) / f"in{path.suffix}", Path(name) / "out"
        source.write_text(40 * path.read_text(encoding="utf-8"), encoding="utf-8")
        began = time.perf_counter()
        with target.open("w", encoding="utf-8") as file:
            file.writelines(answers(model, Lines(source), Problems()))
        seconds = time.perf_counter() - began
    words = sum(map(len, model.predict(path)))
    return 40 * words / seconds


def prepare(data: Path, task: str) -> tuple[Any, tuple[Any, ...], Any, tuple[Any, ...]]:
    """Return the model, and its training, validation and test data."""
    vectors = data / "glove_wink_100d" / "glove.wink.100d.txt.gz"
    if task.startswith("ewt"):
        train, valid, test = (data / "ud_english_ewt" / f"en_ewt-ud-{part}.conllu" for part in ("train", "dev", "test"))
        return Tagger(minutes=7, vectors=vectors if task == "ewt-vectors" else None), (train,), valid, (test,)
    if task == "wnut17":
        names = ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")
        train, valid, test = (data / "wnut17" / name for name in names)
        return Tagger(minutes=5, vectors=vectors, crf=True), (train,), valid, (test,)
    if task == "sst2":
        model = Classifier(minutes=5, vectors=vectors, no_header=True, text="0", label="1")
        return model, (data / "sst2" / "train.tsv",), None, (data / "sst2" / "dev.tsv",)
    with (data / "twitter_airline" / "Tweets.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts, labels = [row["text"] for row in rows], [row["airline_sentiment"] for row in rows]
    parts = train_test_split(texts, labels, test_size=0.2, random_state=0, stratify=labels)
    return Classifier(minutes=5, vectors=vectors), (parts[0], parts[2]), None, (parts[1], parts[3])


if __name__ == "__main__":
    main()
