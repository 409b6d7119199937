"""Every task as the shell runs it, with damaged data and damaged folders, finished or not, with valid hashes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

import elman
from elman.cli.answers import answers
from elman.cli.inputs import examples
from elman.cli.main import main
from elman.data.lines import Lines, Problems
from elman.errors import ElmanError, Interrupted
from elman.models.tasks import TASKS
from elman.training import loop
from elman.training.steps import StepResult, Steps

from .mutations import VALUES, change_json, join_weights, mutate, split_weights
from .oracle import PRECIOUS, Case, Target
from .readers import ABC, COLUMNS, CONLLU, PROSE, picture_files

MAX_STEPS = 10  # of a training, whatever a folder says: a long training is not a fault
MAX_THREADS = 1024
SETTINGS = (*VALUES, "rnn", "lstm", "window", "bpe", "char", "numbers", "zlib", "utf-16", "cuda", "none", 4, 8, 64)
SIZES = {"hidden_size": 4, "embedding_size": 4, "steps": 4, "evaluations": 2, "seed": 1}
TEXT = {"bptt_length": 8, "batch_size": 2}
SHORT = {"beam_size": 2, "max_length": 6}
PICTURE = {**SHORT, "picture_size": 16, "channels": 8, "feature_size": 4}
BYTES = {"level": "bpe", "vocab_size": 270}
APART = {**SHORT, **BYTES, "shared_vocabulary": False, "attention": "bahdanau", "cell": "gru"}
MODELS: list[tuple[str, dict[str, Any], str, str]] = [  # task, settings, training files, file of inputs
    ("lm", TEXT, "a.txt", "a.txt"),
    ("lm", {**TEXT, **BYTES, "lines": True, "cell": "gru"}, "a.txt", "a.txt"),
    ("lm", {**TEXT, "level": "word", "min_count": 1, "cell": "window", "window": 2}, "a.txt", "a.txt"),
    ("tagger", {}, "a.conllu", "a.conllu"),
    ("tagger", {"crf": True, "characters": "none", "cell": "rnn"}, "a.conll", "a.conll"),
    ("classifier", {}, "a.csv", "a.csv"),
    ("classifier", {**BYTES, "pooling": "attention"}, "a.csv", "a.csv"),
    ("classifier", {"level": "numbers"}, "series.npz", "series.npz"),
    ("translator", {**SHORT, "level": "word"}, "a.tsv", "a.tsv"),
    ("translator", APART, "en.txt de.txt", "en.txt"),
    ("captioner", PICTURE, "captions.tsv", "pictures"),
    ("captioner", {**PICTURE, "cell": "rnn", "attention": "none"}, "captions.tsv", "features.npz"),
    ("composer", TEXT, "a.abc", "a.abc"),
    ("composer", {**TEXT, "events": "remi", "cell": "rnn"}, "a.abc", "a.abc"),
]


class Variant(NamedTuple):
    """A trained model and the data that it was trained on."""

    task: str
    finished: Path
    unfinished: Path
    """The folder of a training that was stopped before its end."""
    files: list[Path]
    inputs: Path
    settings: Path
    data: tuple[Any, Any]
    """The contents of the files, as arguments of ``fit``."""

    def words(self, files: list[Path], inputs: Path) -> list[str]:
        """Return files as arguments of ``elman train`` and ``elman evaluate``."""
        return [*map(str, files), *(("--images", str(inputs)) if self.task == "captioner" else ())]


class _Steps(Steps):
    """Counts training steps, and ends a training after the allowed number."""

    left = 0

    def _step(self, *arguments: Any) -> StepResult:
        _Steps.left -= 1
        if _Steps.left < 0:
            raise Interrupted("the training is long enough")
        return super()._step(*arguments)


def task_targets(root: Path) -> dict[str, Target]:
    """Train small models of every task in a folder; return the targets."""
    drawings = ("drawing.curves.loss_curves", "drawing.roll.piano_roll", "drawing.attention.attention_map")
    for name in (*drawings, "families.reports.confusion_table"):
        patch(f"elman.{name}", return_value="<svg/>").start()  # they would take most of the time
    patch.object(loop, "Steps", _Steps).start()
    patch("os.fsync").start()  # power cuts are not simulated
    patch("torch.set_num_threads", _allow_threads).start()
    _write_data(root)
    found: dict[str, Target] = {}
    for task in TASKS:
        some = [_train(root / f"model{number}", *model) for number, model in enumerate(MODELS) if model[0] == task]
        found[f"data-{task}"] = partial(_data, variants=some)
        found[f"folder-{task}"] = partial(_finished, variants=some)
        found[f"resume-{task}"] = partial(_unfinished, variants=some)
    return found


def _allow_threads(number: int) -> None:
    """Replace torch's function: too many threads would exhaust the machine, and threads do not survive a fork."""
    assert number <= MAX_THREADS, f"{number:,} threads requested"


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


def _train(folder: Path, task: str, settings: dict[str, Any], files: str, inputs: str) -> Variant:
    root = folder.parent
    sizes = {name: size for name, size in SIZES.items() if name != "embedding_size" or inputs != "series.npz"}
    toml = root / f"{folder.name}.toml"
    toml.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in {**sizes, **settings}.items()))
    paths = [root / file for file in files.split()]
    X, y = examples(task, list(map(str, paths)), root / inputs)  # noqa: N806
    model = TASKS[task].model_class(**sizes, **settings)
    _Steps.left = 3
    with contextlib.suppress(Interrupted):
        model.fit(X, y, out=folder)
    unfinished = shutil.copytree(folder, root / f"{folder.name}-unfinished")
    _Steps.left = MAX_STEPS
    model.fit(X, y, out=folder, resume=True)
    return Variant(task, folder, unfinished, paths, root / inputs, toml, (X, y))


# The targets.


def _data(case: Case, variants: list[Variant]) -> None:
    """Train on damaged data, or read it with a trained model."""
    variant = case.pick(*variants)
    paths = [path for path in dict.fromkeys((*variant.files, variant.inputs)) if path.is_file()]
    damaged = {path: case.file(path.suffix[1:], [path.read_bytes()], path.stem) for path in paths}
    inputs = damaged.get(variant.inputs, variant.inputs)
    words = variant.words([damaged[path] for path in variant.files], inputs)
    commands = [
        ["train", variant.task, *words, "--config", str(variant.settings), "--out", str(case.folder / "model")],
        ["evaluate", str(variant.finished), *words],
        ["predict", str(variant.finished), str(inputs)],
    ]
    _shell(case.pick(*commands))


def _finished(case: Case, variants: list[Variant]) -> None:
    """Use a damaged folder."""
    variant = case.pick(*variants)
    folder = _damaged_copy(case, variant.finished)
    words = variant.words(variant.files, variant.inputs)
    train = ["train", variant.task, *words, "--out"]
    commands = [
        ["info", str(folder)],
        ["evaluate", str(folder), *words],
        ["predict", str(folder), str(variant.inputs)],
        [*train, str(folder), "--resume"],
        [*train, str(folder), "--config", str(variant.settings), "--overwrite"],
        [*train, str(case.folder / "further"), "--config", str(variant.settings), "--init-from", str(folder)],
    ]
    with case.refusable():
        _shell(case.pick(*commands))
    _use(case, elman.load(folder), variant)


def _unfinished(case: Case, variants: list[Variant]) -> None:
    """Resume the training in a damaged folder, or use its best weights so far."""
    variant = case.pick(*variants)
    folder = _damaged_copy(case, variant.unfinished)
    if case.pick(False, True):
        _use(case, elman.load(folder), variant)
    words = variant.words(variant.files, variant.inputs)
    _shell(["train", variant.task, *words, "--out", str(folder), "--resume"])
    elman.load(folder)


def _use(case: Case, model: Any, variant: Variant) -> None:
    """Do two things with a loaded model; the second even if the first is refused."""
    things: list[Callable[[], Any]] = [
        lambda: model.report(*variant.data),
        lambda: list(answers(model, Lines(variant.inputs), Problems())),
        lambda: (model.save(case.folder / "saved"), elman.load(case.folder / "saved")),
    ]
    if model.task == "lm":
        things.append(lambda: model.generate("the", max_tokens=5, seed=1, greedy=case.pick(False, True)))
    if model.task == "composer":
        things.append(lambda: model.compose(max_events=10, seed=1).midi())
    for thing in case.rng.sample(things, 2) if case.is_damaged else things:
        with case.refusable():
            thing()


def _shell(words: list[str]) -> None:
    """Run ``elman WORDS`` in this process; raise an error with its message if it fails."""
    _Steps.left = MAX_STEPS
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
        code = main(words)
    if code:
        raise ElmanError(told.getvalue().rpartition("elman: ")[2])


# How a folder is damaged.


def _damaged_copy(case: Case, original: Path) -> Path:
    folder = shutil.copytree(original, case.folder / "model")
    if case.is_damaged:
        hashes = {path.name: _hash(path) for path in folder.iterdir()}
        for _ in range(case.pick(1, 1, 1, 2, 3)):
            changes = [*[_change_setting] * 3, _change_config, *[_change_file] * 4, _change_kind, _plant_journal]
            case.pick(*changes)(case, folder)
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
        header, data = split_weights(checkpoint.read_bytes()) if _is_plain(checkpoint) else ({}, b"")
        config = path.read_bytes() if _is_plain(path) else b""
        saved = json.loads(header["__metadata__"]["elman"]) if header else {"config": json.loads(config)}
        settings = saved["config"]["settings"]
        settings[case.pick(*settings)] = case.pick(*SETTINGS)
        if header:
            header["__metadata__"]["elman"] = json.dumps(saved)
            checkpoint.write_bytes(join_weights(header, data))
        else:
            path.write_text(json.dumps(saved["config"]))


def _change_config(case: Case, folder: Path) -> None:
    path = folder / "config.json"
    with contextlib.suppress(Exception):  # an earlier change has left none
        path.write_bytes(change_json(path.read_bytes() if _is_plain(path) else b"", case.rng))


def _change_file(case: Case, folder: Path) -> None:
    paths = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in (".json", ".safetensors", ".csv") and _is_plain(path)
    ]
    if paths:
        path = case.pick(*paths)
        others = [other.read_bytes() for other in paths]
        path.write_bytes(mutate(path.read_bytes(), path.suffix[1:], case.rng, others))


def _plant_journal(case: Case, folder: Path) -> None:
    """Leave the folder in the middle of a replacement, as if its writer had been killed."""
    names = sorted(path.name for path in folder.iterdir() if _is_plain(path))
    replaced = case.rng.sample(names, len(names) // 2)
    written = {".journal.json": json.dumps({"files": replaced, "removed": names[:1]}).encode()}
    for name in replaced:
        written[f".{name}.new"] = (folder / name).read_bytes()
    for name, content in written.items():
        if not os.path.lexists(folder / name):
            changed = mutate(content, Path(name.removesuffix(".new")).suffix[1:], case.rng)
            (folder / name).write_bytes(case.pick(content, changed))


def _change_kind(case: Case, folder: Path) -> None:
    """Remove a file, or replace it by something that is not a file, by another file, or by a very long one."""
    names = [*sorted(path.name for path in folder.iterdir()), "config.json", "checkpoint.safetensors"]
    path = folder / case.pick(*names, ".lock", ".journal.json", ".model.safetensors.new")
    way = case.pick("gone", "folder", "pipe", "hole", "longer", "/dev/zero", f"../../{PRECIOUS}", path.name)
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
