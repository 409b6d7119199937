"""Models' folders of every task, finished and unfinished, as a stranger may hand them over: with hashes that fit."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

import elman
from elman.cli.arguments import examples
from elman.cli.main import main
from elman.data.lines import Lines, Problems
from elman.errors import Interrupted
from elman.models import _HOMES as TASKS
from elman.training import loop

from .mutations import VALUES, change_json, closed, mutated, opened
from .oracle import Case, Target
from .readers import ABC, COLUMNS, CONLLU, PROSE, picture_files

MOST_STEPS = 10  # of a training, whatever a folder says: that it is long is no fault
MOST_THREADS = 1024
SETTINGS = (
    *VALUES[:-4],
    *("rnn", "lstm", "window", "bpe", "char", "numbers", "zlib", "utf-16", "cuda", "none", 4, 8, 64),
)
SIZES = {"hidden_size": 4, "embedding_size": 4, "steps": 4, "evaluations": 2, "seed": 1}
TEXT = {"bptt_length": 8, "batch_size": 2}
PICTURE = {"picture_size": 16, "channels": 8, "feature_size": 4}
SEVERAL = {"level": "bpe", "vocab_size": 270, "shared_vocabulary": False, "attention": "bahdanau", "cell": "gru"}
MODELS: list[tuple[str, dict[str, Any], str, str]] = [  # task, settings, files to learn from, file of inputs
    ("lm", TEXT, "a.txt", "a.txt"),
    ("lm", {**TEXT, "level": "bpe", "vocab_size": 270, "lines": True, "cell": "gru"}, "a.txt", "a.txt"),
    ("lm", {**TEXT, "level": "word", "min_count": 1, "cell": "window", "window": 2}, "a.txt", "a.txt"),
    ("tagger", {}, "a.conllu", "a.conllu"),
    ("tagger", {"crf": True, "characters": "none", "cell": "rnn"}, "a.conll", "a.conll"),
    ("classifier", {}, "a.csv", "a.csv"),
    ("classifier", {"level": "bpe", "vocab_size": 270, "pooling": "attention"}, "a.csv", "a.csv"),
    ("classifier", {"level": "numbers"}, "series.npz", "series.npz"),
    ("translator", {"level": "word"}, "a.tsv", "a.tsv"),
    ("translator", SEVERAL, "en.txt de.txt", "en.txt"),
    ("captioner", PICTURE, "captions.tsv", "pictures"),
    ("captioner", {**PICTURE, "cell": "rnn", "attention": "none"}, "captions.tsv", "features.npz"),
    ("composer", TEXT, "a.abc", "a.abc"),
    ("composer", {**TEXT, "events": "remi", "cell": "rnn"}, "a.abc", "a.abc"),
]


class Variant(NamedTuple):
    """A trained model and the data that it was trained on."""

    finished: Path
    unfinished: Path
    """The folder of its training, stopped before the end."""
    words: list[str]
    """The data as ``elman train`` takes it."""
    settings: list[str]
    """What else ``elman train`` must be told to begin such a model."""
    data: tuple[Any, Any]
    """The data as ``fit`` takes it."""
    inputs: Path
    task: str


class _Steps:
    """Counts training steps, and ends a training that takes more than are left."""

    left = 0

    def __init__(self) -> None:
        self._step = loop._step

    def __call__(self, *arguments: Any) -> Any:
        _Steps.left -= 1
        if _Steps.left < 0:
            raise Interrupted("the training is long enough")
        return self._step(*arguments)


def folder_targets(root: Path) -> dict[str, Target]:
    """Train small models of every task in a folder; return the targets, which read damaged copies."""
    patch("elman.drawing.curves.loss_curves", lambda history: "<svg/>").start()  # it takes longer than all else
    patch.object(loop, "_step", _Steps()).start()
    patch("os.fsync").start()  # no power cut is played
    patch("torch.set_num_threads", _allow_threads).start()
    _write_data(root)
    found: dict[str, Target] = {}
    for task in TASKS:
        some = [_trained(root / f"model{number}", *model) for number, model in enumerate(MODELS) if model[0] == task]
        found[f"folder-{task}"] = partial(_finished, variants=some)
        found[f"resume-{task}"] = partial(_unfinished, variants=some)
    return found


def _allow_threads(number: int) -> None:
    """Stand in for torch's function: so many threads would bring the machine down, few would not survive a fork."""
    assert number <= MOST_THREADS, f"{number:,} threads were to be started"


def _write_data(root: Path) -> None:
    (root / "pictures").mkdir()
    for number, content in enumerate(picture_files("png")):
        (root / "pictures" / f"{number}.png").write_bytes(content)
    np.savez(root / "features.npz", **{f"{number}.png": np.ones((2, 5)) * number for number in range(6)})
    np.savez(root / "series.npz", inputs=np.arange(36.0).reshape(6, 3, 2), labels=np.array([0, 1] * 3))
    for name, content in {
        "a.txt": PROSE[0] * 8,
        "a.conllu": CONLLU[0],
        "a.conll": COLUMNS[0] * 4,
        "a.csv": b"text,label\n" + b"so good,praise\nso bad,complaint\nwhen?,question\n" * 4,
        "a.tsv": b"a cat .\teine Katze\na dog .\tein Hund\n" * 6,
        "en.txt": b"a cat\na dog\n" * 6,
        "de.txt": b"eine Katze\nein Hund\n" * 6,
        "captions.tsv": b"".join(b"%d.png\tit is number %d\n" % (number, number % 2) for number in range(6)),
        "a.abc": ABC[0] * 2,
    }.items():
        (root / name).write_bytes(content)


def _trained(folder: Path, task: str, settings: dict[str, Any], files: str, inputs: str) -> Variant:
    root = folder.parent
    module, name = TASKS[task]
    sizes = {name: size for name, size in SIZES.items() if name != "embedding_size" or inputs != "series.npz"}
    toml = root / f"{folder.name}.toml"
    toml.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in {**sizes, **settings}.items()))
    words = [str(root / file) for file in files.split()]
    images = root / inputs if task == "captioner" else None
    X, y = examples(task, words, images)  # noqa: N806
    model = getattr(import_module(module), name)(**sizes, **settings)
    _Steps.left = 3
    with contextlib.suppress(Interrupted):
        model.fit(X, y, out=folder)
    unfinished = shutil.copytree(folder, root / f"{folder.name}-unfinished")
    _Steps.left = MOST_STEPS
    model.fit(X, y, out=folder, resume=True)
    words += ["--images", str(images)] if images else []
    return Variant(folder, unfinished, words, ["--config", str(toml)], (X, y), root / inputs, task)


# What is done with a folder.


def _finished(case: Case, variants: list[Variant]) -> None:
    variant = case.pick(*variants)
    folder = _damaged_copy(case, variant.finished)
    train = ["train", variant.task, *variant.words, "--out"]
    commands = [
        ["info", str(folder)],
        ["evaluate", str(folder), *variant.words],
        ["predict", str(folder), str(variant.inputs)],
        [*train, str(folder), "--resume"],
        [*train, str(case.folder / "further"), *variant.settings, "--init-from", str(folder)],
    ]
    for command in [case.pick(*commands)] if case.is_damaged else commands:
        _shell(case, command)
    _use(case, elman.load(folder), variant)


def _unfinished(case: Case, variants: list[Variant]) -> None:
    variant = case.pick(*variants)
    folder = _damaged_copy(case, variant.unfinished)
    with case.refusable():
        _use(case, elman.load(folder), variant)
    _shell(case, ["train", variant.task, *variant.words, "--out", str(folder), "--resume"])
    elman.load(folder)


def _use(case: Case, model: Any, variant: Variant) -> None:
    """Do with a loaded model what a user does; where one thing is refused, the next is still done."""
    things: list[Callable[[], Any]] = [
        lambda: model.report(*variant.data),
        lambda: list(model.annotate(Lines(variant.inputs), Problems())),
        lambda: model.save(case.folder / "saved"),
        lambda: elman.load(case.folder / "saved"),
    ]
    if model.task == "lm":
        things.append(lambda: model.generate("the", max_tokens=5, seed=1, greedy=case.pick(False, True)))
    if model.task == "composer":
        things.append(lambda: model.compose(max_events=10, seed=1).midi())
    for thing in things:
        with case.refusable():
            thing()


def _shell(case: Case, words: list[str]) -> None:
    """Run ``elman WORDS`` in this process; where it fails, it must say why."""
    _Steps.left = MOST_STEPS
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
        code = main(words)
    said = [line for line in told.getvalue().splitlines() if line.startswith("elman: ")]
    assert code == 0 or (case.is_damaged and said), f"exit code {code}: {told.getvalue()}"


# How a folder is damaged.


def _damaged_copy(case: Case, original: Path) -> Path:
    folder = shutil.copytree(original, case.folder / "model")
    if case.is_damaged:
        hashes = {path.name: _hash(path) for path in folder.iterdir()}
        for _ in range(case.pick(1, 1, 1, 2, 3)):
            case.pick(*[_change_setting] * 3, _change_config, *[_change_file] * 4, _change_kind)(case, folder)
        config = folder / "config.json"
        if _is_plain(config) and case.pick(*[True] * 9, False):
            content = config.read_bytes()
            for name, digest in hashes.items():
                if _is_plain(folder / name):
                    content = content.replace(digest.encode(), _hash(folder / name).encode())
            config.write_bytes(content)
    return folder


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 28


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _change_setting(case: Case, folder: Path) -> None:
    """Change a setting, in ``config.json`` or in the checkpoint of an unfinished training."""
    path, checkpoint = folder / "config.json", folder / "checkpoint.safetensors"
    with contextlib.suppress(Exception):  # an earlier change has left none
        header, data = opened(checkpoint.read_bytes()) if _is_plain(checkpoint) else ({}, b"")
        saved = json.loads(header["__metadata__"]["elman"]) if header else {"config": json.loads(path.read_bytes())}
        settings = saved["config"]["settings"]
        settings[case.pick(*settings)] = case.pick(*SETTINGS)
        if header:
            header["__metadata__"]["elman"] = json.dumps(saved)
            checkpoint.write_bytes(closed(header, data))
        else:
            path.write_text(json.dumps(saved["config"]))


def _change_config(case: Case, folder: Path) -> None:
    path = folder / "config.json"
    with contextlib.suppress(Exception):  # an earlier change has left none
        path.write_bytes(change_json(path.read_bytes(), case.rng))


def _change_file(case: Case, folder: Path) -> None:
    paths = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in (".json", ".safetensors", ".csv") and _is_plain(path)
    ]
    if paths:
        path = case.pick(*paths)
        others = [other.read_bytes() for other in paths]
        path.write_bytes(mutated(path.read_bytes(), path.suffix[1:], case.rng, others))


def _change_kind(case: Case, folder: Path) -> None:
    """Take a file away, or put something in its place that is no file, or another one, or a very long one."""
    names = sorted(path.name for path in folder.iterdir())
    path = folder / case.pick(*names, "config.json", "checkpoint.safetensors", "x")
    way = case.pick("gone", "folder", "pipe", "hole", "longer", "/dev/zero", "/etc/passwd", path.name)
    if way == "longer" and path.is_file():
        return os.truncate(path, 10 << 30)
    if path.is_dir():
        return None
    path.unlink(missing_ok=True)
    if way == "folder":
        path.mkdir()
    elif way == "pipe":
        os.mkfifo(path)
    elif way == "hole":
        path.touch()
        os.truncate(path, 10 << 30)
    elif way not in ("gone", "longer"):
        path.symlink_to(way)
    return None
