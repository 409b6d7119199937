"""Translators, summarisers, captioners and composers on public and built-in data.

    python benchmarks/writing.py DATA multi30k|multi30k-tok|reports|shapes|nottingham|jsb [--minutes M] [--seeds 1]
        [--set NAME=VALUE ...]

DATA holds the folders multi30k, nottingham_midi and jsb_chorales.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from sacrebleu.metrics.bleu import BLEU
from symusic import Note, Score, Tempo, Track

from elman import Captioner, Composer, NgramModel, Translator
from elman.data.lines import Problems
from elman.data.music.tunes import Tune, read_tunes
from elman.data.samples import sample_pictures, sample_text
from elman.training.progress import Progress


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other settings of the model")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        settings: dict[str, Any] = {"seed": seed}
        for name, value in (pair.split("=", 1) for pair in arguments.set):
            settings[name] = json.loads(value) if value[0].isdigit() or value in ("true", "false") else value
        figures = TASKS[arguments.task](arguments.data, settings, arguments.minutes)
        print(arguments.task, settings, {name: _round(value) for name, value in figures.items()}, flush=True)


def multi30k(data: Path, settings: dict[str, Any], minutes: float | None, folder: str = "raw") -> dict[str, Any]:
    """Translate English to German, evaluated on test_2016_flickr; for tokenised text also with the papers' BLEU."""
    ending = ".lc.norm.tok" if folder == "tok" else ""
    files = {part: [data / "multi30k" / folder / f"{part}{ending}.{side}" for side in ("en", "de")] for part in PARTS}
    model = Translator(minutes=minutes or 20, **settings)
    model.fit(*files["train"], valid=tuple(files["val"]), progress=Progress())
    sources, targets = (path.read_text(encoding="utf-8").splitlines() for path in files["test_2016_flickr"])
    began = time.perf_counter()
    written = model.predict(sources)
    seconds = time.perf_counter() - began
    figures = model.report(sources, targets).metrics
    if folder == "tok":
        figures["bleu_tokenised_lower_case"] = (
            BLEU(tokenize="none", lowercase=True, force=True).corpus_score(written, [targets]).score
        )
    return {**_training_figures(model), **figures, "sentences_per_second": len(sources) / seconds}


def multi30k_tok(data: Path, settings: dict[str, Any], minutes: float | None) -> dict[str, Any]:
    """Translate text that is already tokenised."""
    return multi30k(data, settings, minutes, "tok")


def reports(data: Path, settings: dict[str, Any], minutes: float | None) -> dict[str, Any]:
    """Summarise reports: one tenth for validation, another for testing, with copying the first sentence as baseline."""
    rows = [line.split("\t") for line in sample_text("reports").splitlines()[1:]]
    valid, test, train = rows[::10], rows[5::10], [row for index, row in enumerate(rows) if index % 5]
    model = Translator(minutes=minutes or 3, **settings)
    model.fit(*_split_columns(train), valid=_split_columns(valid), progress=Progress())
    sources, targets = _split_columns(test)
    return {**_training_figures(model), **model.evaluate(sources, targets)}


def shapes(data: Path, settings: dict[str, Any], minutes: float | None) -> dict[str, Any]:
    """Caption pictures of combinations that training never saw."""
    model = Captioner(minutes=minutes or 5, **settings)
    model.fit(sample_pictures("shapes"), sample_text("shapes"), progress=Progress())
    return {
        **_training_figures(model),
        **model.evaluate(sample_pictures("unseen-shapes"), sample_text("unseen-shapes")),
    }


def nottingham(data: Path, settings: dict[str, Any], minutes: float | None) -> dict[str, Any]:
    """Model folk tunes, every tenth held out, beside 5-grams over the same events."""
    tunes = read_tunes(data / "nottingham_midi" / "MIDI", Problems())
    test, rest = tunes[9::10], [tune for index, tune in enumerate(tunes, start=1) if index % 10]
    return _compose(
        rest[19::20], [tune for index, tune in enumerate(rest, start=1) if index % 20], test, settings, minutes
    )


def jsb(data: Path, settings: dict[str, Any], minutes: float | None) -> dict[str, Any]:
    """Model Bach's chorales on a grid of quarter notes, with nats per time step as well."""
    parts = json.loads((data / "jsb_chorales" / "jsb-chorales-quarter.json").read_text())
    steps = sum(len(chorale) for chorale in parts["test"])
    tunes = {part: [_make_chorale(chorale) for chorale in parts[part]] for part in ("train", "valid", "test")}
    figures = _compose(tunes["valid"], tunes["train"], tunes["test"], settings, minutes)
    figures["nats_per_time_step"] = figures["nats_per_event"] * figures["events"] / steps
    figures["time_steps"] = steps
    return figures


def _compose(
    valid: list[Tune], train: list[Tune], test: list[Tune], settings: dict[str, Any], minutes: float | None
) -> dict[str, Any]:
    model = Composer(minutes=minutes or 8, **settings).fit(train, valid=valid, progress=Progress())
    corpora = [model._build_corpus(model._read(tunes, Problems())) for tunes in (train, test)]
    markov = NgramModel(order=5).fit(np.asarray(corpora[0].ids), np.asarray(corpora[0].offsets), model._vocab_size)
    log_probs = markov.log_probs(np.asarray(corpora[1].ids), np.asarray(corpora[1].offsets))
    return {**_training_figures(model), **model.evaluate(test), "markov_nats_per_event": -float(np.mean(log_probs))}


def _make_chorale(chords: list[list[int]]) -> Tune:
    """Return chords of a quarter note each as a tune; a repeated pitch is held."""
    score = Score(4)
    score.tempos.append(Tempo(0, 120))
    notes = []
    for start, chord in enumerate(chords):
        for pitch in chord:
            if start and pitch in chords[start - 1]:
                continue
            end = start
            while end < len(chords) and pitch in chords[end]:
                end += 1
            notes.append(Note(4 * start, 4 * (end - start), pitch, 80))
    score.tracks.append(Track("", 0, False, notes))
    return Tune.read(score.dumps_midi(), "chorale")


def _split_columns(rows: list[list[str]]) -> tuple[list[str], list[str]]:
    return [row[0] for row in rows], [row[1] for row in rows]


def _training_figures(model: Any) -> dict[str, Any]:
    return {"parameters": model.metrics_["parameters"], **model.metrics_["train"]}


def _round(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


PARTS = ("train", "val", "test_2016_flickr")
TASKS = {
    "multi30k": multi30k,
    "multi30k-tok": multi30k_tok,
    "reports": reports,
    "shapes": shapes,
    "nottingham": nottingham,
    "jsb": jsb,
}


if __name__ == "__main__":
    main()
