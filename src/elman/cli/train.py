"""``elman train TASK``: one call of ``fit``."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from elman.cli.arguments import parse, settings_from_toml, source
from elman.errors import Interrupted, UsageError, nearest
from elman.models.folder import read_config, read_folder
from elman.models.language_model import LanguageModel
from elman.models.settings import saved_settings
from elman.training.checkpoint import FILE_NAME
from elman.training.progress import clock, progress_for

TASKS = ("lm",)
LENGTHS = ("minutes", "epochs", "steps")


@dataclass(kw_only=True)
class TrainLanguageModel:
    """Train a language model on text: FILE... is read as one text; sample:NAME names a built-in one."""

    files: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILE...")]]
    """Text files."""
    out: Path
    """Folder for the run and then the model."""
    valid: str | None = None
    """Text file to validate on, in place of the end of the training text."""
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
    settings: tyro.conf.OmitArgPrefixes[LanguageModel] = field(default_factory=LanguageModel)


def run(words: Sequence[str]) -> int:
    """Train what ``words`` say; see ``elman train TASK --help``."""
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: elman train TASK ...\n\nTASK is one of: {', '.join(TASKS)}; elman train TASK --help tells more")
        return 0
    if words[0] not in TASKS:
        raise UsageError(
            f"elman train has no task {words[0]}{nearest(words[0], TASKS) or ';'} it has {', '.join(TASKS)}"
        )
    default = TrainLanguageModel(files=tyro.MISSING, out=tyro.MISSING, settings=_defaults(words[1:]))
    command = parse(TrainLanguageModel, words[1:], "elman train lm", default)
    if not command.files:
        raise UsageError("elman train lm needs a text: elman train lm FILE... --out DIR")
    texts = [source(word) for word in command.files]
    valid = None if command.valid is None else source(command.valid)
    if command.dry_run:
        _print_prediction(command.settings.dry_run(texts, valid=valid))
        return 0
    progress = progress_for(sys.stderr)
    logging.getLogger("elman.nn").setLevel(logging.INFO)  # what computes the layers, and why
    try:
        model = command.settings.fit(
            texts,
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
        valid_words = [] if command.valid is None else ["--valid", command.valid]
        again = shlex.join([*command.files, *valid_words, "--out", str(command.out), "--resume"])
        raise Interrupted(f"{said}\nGo on with: elman train lm {again}", number) from None
    valid_figures = model.metrics_.get("valid", {})
    if valid_figures:
        figures = f"{valid_figures['nats_per_token']:.4f} nats/token, "
        figures += f"{valid_figures['bits_per_character']:.4f} bits/char, perplexity {valid_figures['perplexity']:.2f}"
        unknown = f", {valid_figures['unknown']:,} of them unknown" if valid_figures["unknown"] else ""
        print(f"{command.out}: {figures} on {valid_figures['tokens']:,} held-out tokens{unknown}")
        print(f"Write with it: elman generate {command.out} --prompt TEXT")
    return 0


def _defaults(words: Sequence[str]) -> LanguageModel:
    """Return the settings that flags are laid over: an earlier run's, a file's, or the model's own."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for flag in ("--out", "--init-from", "--config"):
        early.add_argument(flag, type=Path)
    early.add_argument("--resume", action="store_true")
    try:
        given, _ = early.parse_known_args(words)
    except argparse.ArgumentError:  # a flag without its value: the real parser says it better
        return LanguageModel()
    settings: dict[str, Any] = {}
    if given.init_from is not None:
        architecture = saved_settings(LanguageModel, read_folder(given.init_from).config, given.init_from)
        settings |= {name: architecture[name] for name in LanguageModel.architecture if name in architecture}
    if given.resume and given.out is not None and (config := read_config(given.out, missing_ok=True)):
        settings |= saved_settings(LanguageModel, config, given.out)
    if given.config is not None:
        from_file = settings_from_toml(given.config, LanguageModel)
        flags = {word.partition("=")[0] for word in words}
        if flags & {f"--{name}" for name in LENGTHS}:  # a flag goes before the file, whichever of them each names
            from_file = {name: value for name, value in from_file.items() if name not in LENGTHS}
        settings |= from_file
    return replace(LanguageModel(), **settings)


def _print_prediction(prediction: dict[str, float | int]) -> None:
    print(f"parameters  {prediction['parameters']:,}")
    print(f"memory      {prediction['memory_bytes'] / 2**20:,.1f} MiB for weights, gradients and the optimizer")
    print(f"steps       {prediction['steps']:,} ({prediction['batches_per_epoch']:,} to a pass over the text)")
    print(
        f"time        {clock(prediction['seconds'])} ({1000 * prediction['seconds_per_step']:.0f} ms a step, measured)"
    )
