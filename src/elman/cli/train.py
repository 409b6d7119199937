"""``elman train TASK``: one call of ``fit``."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from elman.cli.arguments import examples, named_path, parse, settings_from_toml
from elman.errors import Interrupted, StorageError, UsageError, nearest
from elman.families.base import Model
from elman.families.folder import read_config
from elman.families.settings import saved_settings
from elman.models.captioner import Captioner
from elman.models.classifier import Classifier
from elman.models.composer import Composer
from elman.models.language_model import LanguageModel
from elman.models.tagger import Tagger
from elman.models.translator import Translator
from elman.training.checkpoint import FILE_NAME
from elman.training.progress import clock, describe_metrics, progress_for

LENGTHS = ("minutes", "epochs", "steps")


@dataclass(kw_only=True)
class Train:
    """What every ``elman train TASK`` takes."""

    next_step: ClassVar[str]

    out: Path
    """Folder for the run and then the model."""
    resume: bool = False
    """Go on from the checkpoint in the folder, with the settings that it began with."""
    overwrite: bool = False
    """Replace the model or the unfinished training in the folder."""
    init_from: Path | None = None
    """Begin from this saved model: its architecture, vocabulary and weights."""
    config: Path | None = None
    """Take settings from this TOML file; flags go before it."""
    dry_run: bool = False
    """Tell parameters, memory, predicted steps and time, then stop."""


@dataclass(kw_only=True)
class TrainOnFile(Train):
    """What the tasks take that validate on one file."""

    valid: str | None = None
    """File to validate on, in place of a part of the training data."""


@dataclass(kw_only=True)
class TrainLanguageModel(TrainOnFile):
    """Train a language model on text: FILE... is read as one text; sample:NAME names a built-in one."""

    next_step = "Write with it: elman generate {folder} --prompt TEXT"

    files: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILE...")]]
    """Text files."""
    settings: tyro.conf.OmitArgPrefixes[LanguageModel] = field(default_factory=LanguageModel)


@dataclass(kw_only=True)
class TrainTagger(TrainOnFile):
    """Train a tagger on sentences in CoNLL-U or CoNLL-2002/2003 columns; sample:sentences is built in."""

    next_step = "Tag with it: elman predict {folder} FILE"

    files: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="TRAIN")]]
    """Tagged sentences."""
    settings: tyro.conf.OmitArgPrefixes[Tagger] = field(default_factory=Tagger)


@dataclass(kw_only=True)
class TrainClassifier(TrainOnFile):
    """Train a classifier on CSV, TSV, JSONL, a folder of text files, or .npz of numbers; sample:messages is one."""

    next_step = "Classify with it: elman predict {folder} FILE"

    files: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="TRAIN")]]
    """Labelled examples."""
    settings: tyro.conf.OmitArgPrefixes[Classifier] = field(default_factory=Classifier)


@dataclass(kw_only=True)
class TrainTranslator(Train):
    """Train a translator on two parallel files, TRAIN.src TRAIN.tgt, or on one TSV, CSV or JSONL of pairs.

    It summarises too: sample:reports is built in.
    """

    next_step = "Translate with it: elman predict {folder} FILE"

    files: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="TRAIN...")]]
    """Sources and targets: a file for each, or one with both."""
    valid: tuple[str, ...] = ()
    """File or files to validate on, in place of a part of the training data."""
    settings: tyro.conf.OmitArgPrefixes[Translator] = field(default_factory=Translator)


@dataclass(kw_only=True)
class TrainCaptioner(TrainOnFile):
    """Train a captioner on pictures and captions (COCO JSON, TSV or Flickr8k's format); sample:shapes is built in."""

    next_step = "Describe pictures with it: elman predict {folder} PICTURES"

    files: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="CAPTIONS")]]
    """The captions, by the names of their pictures."""
    images: Path | None = None
    """The folder of the pictures, or an .npz of ready features."""
    valid_images: Path | None = None
    """The pictures of --valid, where they lie elsewhere."""
    settings: tyro.conf.OmitArgPrefixes[Captioner] = field(default_factory=Captioner)


@dataclass(kw_only=True)
class TrainComposer(TrainOnFile):
    """Train a composer on a folder of MIDI or ABC files; sample:tunes is built in."""

    next_step = "Write music with it: elman generate {folder} --seconds 30 --out tune.mid --wav tune.wav"

    files: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MIDI_DIR")]]
    """Folder of tunes, or a file of them."""
    settings: tyro.conf.OmitArgPrefixes[Composer] = field(default_factory=Composer)


TASKS: dict[str, tuple[type[Train], type[Model]]] = {
    "lm": (TrainLanguageModel, LanguageModel),
    "tagger": (TrainTagger, Tagger),
    "classifier": (TrainClassifier, Classifier),
    "translator": (TrainTranslator, Translator),
    "captioner": (TrainCaptioner, Captioner),
    "composer": (TrainComposer, Composer),
}


def run(words: Sequence[str]) -> int:
    """Train what ``words`` say; see ``elman train TASK --help``."""
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: elman train TASK ...\n\nTASK is one of: {', '.join(TASKS)}; elman train TASK --help tells more")
        return 0
    if words[0] not in TASKS:
        raise UsageError(
            f"elman train has no task {words[0]}{nearest(words[0], TASKS) or ';'} it has {', '.join(TASKS)}"
        )
    task = words[0]
    kind, model_class = TASKS[task]
    missing: dict[str, Any] = {"files": tyro.MISSING, "out": tyro.MISSING}
    default: Any = kind(**missing, settings=_defaults(words[1:], model_class))  # type: ignore[call-arg]
    command: Any = parse(kind, words[1:], f"elman train {task}", default)
    files, valid_files = _listed(command.files), _listed(command.valid)
    if not files:
        raise UsageError(f"elman train {task} needs a file: elman train {task} FILE... --out DIR")
    images, valid_images = (command.images, command.valid_images) if task == "captioner" else (None, None)
    data, targets = examples(task, files, images)
    valid = None
    if valid_files:
        pair = examples(task, valid_files, valid_images or images)
        valid = pair[0] if pair[1] is None else pair
    if command.dry_run:
        _print_prediction(command.settings.dry_run(data, targets, valid=valid))
        return 0
    progress = progress_for(sys.stderr)
    logging.getLogger("elman.nn").setLevel(logging.INFO)  # what computes the layers, and why
    try:
        model = command.settings.fit(
            data,
            targets,
            valid=valid,
            out=command.out,
            resume=command.resume,
            overwrite=command.overwrite,
            init_from=command.init_from,
            progress=progress,
        )
    except (Interrupted, KeyboardInterrupt) as stop:
        if not (command.out / FILE_NAME).exists():
            raise
        said, number = (str(stop), stop.exit_code - 128) if isinstance(stop, Interrupted) else ("interrupted", 2)
        named = {"--images": images, "--valid": valid_files, "--valid-images": valid_images}
        flags = [word for flag, value in named.items() if value for word in (flag, *_listed(value))]
        again = shlex.join([*files, *flags, "--out", str(command.out), "--resume"])
        raise Interrupted(f"{said}\nGo on with: elman train {task} {again}", number) from None
    figures = model.metrics_.get("valid", {})
    if figures:
        unit = next(name for name in ("examples", "tokens", "events") if name in figures)
        unknown = f", {figures['unknown']:,} of them unknown" if unit == "tokens" and figures.get("unknown") else ""
        try:
            print(f"{command.out}: {describe_metrics(figures, digits=4)} on {figures[unit]:,} held-out {unit}{unknown}")
            print(command.next_step.format(folder=command.out), flush=True)
        except StorageError as error:
            raise StorageError(f"{error}. The model is saved in {command.out}") from error
    return 0


def _listed(words: Any) -> list[str]:
    """Return the words of an option that takes none, one or several."""
    if words is None:
        return []
    return [str(words)] if isinstance(words, str | Path) else list(words)


def _defaults(words: Sequence[str], model: type[Model]) -> Model:
    """Return the settings that flags are laid over: an earlier run's, a file's, or the model's own."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for flag in ("--out", "--init-from", "--config"):
        early.add_argument(flag, type=named_path)
    early.add_argument("--resume", action="store_true")
    try:
        given, _ = early.parse_known_args(words)
    except argparse.ArgumentError:  # a flag without its value, or an empty one: the real parser says it better
        return model()
    settings: dict[str, Any] = {}
    if given.init_from is not None:
        architecture = saved_settings(model, read_config(given.init_from), given.init_from)
        settings |= {name: architecture[name] for name in model.architecture if name in architecture}
    if given.resume and given.out is not None and (config := read_config(given.out, missing_ok=True)):
        settings |= saved_settings(model, config, given.out)
    if given.config is not None:
        from_file = settings_from_toml(given.config, model)
        flags = {word.partition("=")[0] for word in words}
        if flags & {f"--{name}" for name in LENGTHS}:  # a flag goes before the file, whichever of them each names
            from_file = {name: value for name, value in from_file.items() if name not in LENGTHS}
        settings |= from_file
    return replace(model(), **settings)


def _print_prediction(prediction: dict[str, float | int]) -> None:
    print(f"parameters  {prediction['parameters']:,}")
    print(f"memory      {prediction['memory_bytes'] / 2**20:,.1f} MiB for weights, gradients and the optimizer")
    print(f"steps       {prediction['steps']:,} ({prediction['batches_per_epoch']:,} to a pass over the data)")
    print(
        f"time        {clock(prediction['seconds'])} ({1000 * prediction['seconds_per_step']:.0f} ms a step, measured)"
    )
