"""``elman train TASK``: one call of ``fit``."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import MISSING, dataclass, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from elman.cli.arguments import parse
from elman.cli.config import settings_from_toml
from elman.cli.flags import flag, with_flags
from elman.cli.help import About
from elman.cli.inputs import RUNS, check_data_exist, examples
from elman.cli.program import program
from elman.cli.settings import setting_fields, settings_of
from elman.cli.tasks import choose_task
from elman.cli.values import parse_path
from elman.documents import write_json
from elman.errors import Interrupted, StorageError, UsageError
from elman.models.tasks import TASKS, TaskRow
from elman.settings.base import ModelSettings, saved_settings
from elman.training.progress import Progress, clock, describe_metrics, progress_for

LENGTHS = ("minutes", "epochs", "steps")


@dataclass(kw_only=True)
class Train:
    """The options of every ``elman train TASK``; :func:`train_command` adds a task's own files and settings."""

    resume: Annotated[bool, About(group="training")] = False
    """Continue from the checkpoint in the folder, with the settings that the run began with. Without --out: in the
    newest unfinished folder in runs that has the same task and data."""
    init_from: Annotated[Path | None, About(metavar="DIR", group="training", is_advanced=True)] = None
    """Start from this saved model: its architecture, vocabulary and weights."""
    config: Annotated[Path | None, About(metavar="FILE", group="training", is_advanced=True)] = None
    """Take settings from this TOML file; options on the command line override it."""
    dry_run: Annotated[bool, About(group="training", is_advanced=True)] = False
    """Print what follows from the data, parameters, memory, and the predicted steps and time; train nothing."""
    json: Annotated[bool, About(group="training", is_advanced=True)] = False
    """Print them as JSON (--dry-run only)."""
    out: Annotated[Path | None, About(metavar="DIR", default="the next free runs/TASK-N", group="output")] = None
    """Folder for the run, and then for the model."""
    overwrite: Annotated[bool, About(group="output")] = False
    """Replace the model or the unfinished run in the folder."""


def data_fields(row: TaskRow) -> list[tuple[str, Any, Any]]:
    """Return the fields of a command for the data of a task: its files, and others to validate on."""
    files = row.files
    words: Any = str if files.most == 1 else tuple[str, ...]
    positional: Any = tyro.conf.Positional
    fields: list[tuple[str, Any, Any]] = [
        ("files", positional[Annotated[words, About(metavar=files.metavar, text=files.help)]], MISSING)
    ]
    takes_two = files.most == 2
    about = About(
        text=f"{'File or files' if takes_two else 'File'} to validate on, in place of a part of the training data.",
        metavar="FILE [FILE]" if takes_two else "FILE",
        default="a tenth of the data; see --valid-fraction",
        group="data",
    )
    validation: Any = tuple[str, ...] if takes_two else str | None
    fields.append(("valid", Annotated[validation, about], () if takes_two else None))
    if files.of_pictures:
        about = About(text="Folder of the pictures, or an .npz of features.", group="data")
        fields.append(("images", Annotated[Path | None, about], None))
        about = About(text="The pictures of --valid, where they are elsewhere.", group="data", is_advanced=True)
        fields.append(("valid_images", Annotated[Path | None, about], None))
    return fields


def train_command(row: TaskRow, settings: ModelSettings) -> type[Train]:
    """Return the dataclass of a task's command.

    Args:
        row: the task.
        settings: the values of those that are not given.
    """
    fields = [*data_fields(row), *setting_fields(type(settings), settings)]
    command = make_dataclass(f"Train{row.class_name}", fields, bases=(Train,), kw_only=True)
    command.__doc__ = row.help
    return command


def run(words: Sequence[str]) -> int:
    """Train a model; see ``elman train TASK --help``."""
    started = time.perf_counter()  # importing torch takes seconds of the time budget
    task = choose_task("train", "Train a model on your own data.", words, TASKS)
    if task is None:
        return 0
    command, settings = _parse(task, words[1:])
    files = as_list(command.files)
    if not files:
        raise UsageError(f"elman train {task} needs a file: elman train {task} FILE...")
    data, targets, valid = training_data(task, command)
    check_data_exist(data, targets, *(valid if isinstance(valid, tuple) else (valid,)))
    model_class = TASKS[task].model_class  # from here on, torch is imported
    if command.dry_run:
        prediction = model_class(**settings.get_params()).dry_run(data, targets, valid=valid)
        if command.json:
            print(write_json(prediction, indent=2))
        else:
            _print_prediction(prediction)
        return 0
    if command.json:
        raise UsageError("`json` is for `dry_run`; the figures of a training are in its folder's metrics.json")
    from elman.cli.runs import next_folder

    with ExitStack() as stack:
        if command.out is None:
            if command.overwrite:
                raise UsageError("`overwrite` replaces what a folder holds: name the folder with `out`")
            if command.resume:
                folder = _find_unfinished(task, files, data, targets)
                command, settings = _parse(task, [*words[1:], "--out", str(folder)])
            else:
                model_class(**settings.get_params()).check()
                command.out = stack.enter_context(next_folder(task))
                print(f"elman: the model goes into {command.out}; --out names another folder", file=sys.stderr)
        progress = progress_for(sys.stderr)
        progress.started = started
        model = model_class(**settings.get_params())
        return _train(task, command, model, data, targets, valid, progress, words[1:])


def training_data(task: str, command: Any) -> tuple[Any, Any, Any]:
    """Return the data of a command as ``fit`` takes them: X, y or None, and the validation data or None."""
    images, valid_images = (getattr(command, name, None) for name in ("images", "valid_images"))  # of captioners
    data, targets = examples(task, as_list(command.files), images)
    valid, valid_files = None, as_list(command.valid)
    if valid_files:
        pair = examples(task, valid_files, valid_images or images)
        valid = pair[0] if pair[1] is None else pair
    return data, targets, valid


def _parse(task: str, words: Sequence[str]) -> tuple[Any, ModelSettings]:
    """Parse the words after the task into the command and the settings, checked as far as is possible without torch."""
    row = TASKS[task]
    command = parse(train_command(row, _defaults(words, row.settings_class)), words, f"elman train {task}")
    settings: ModelSettings = settings_of(command, row.settings_class)
    settings.check()
    settings.check_training()
    return command, settings


def _find_unfinished(task: str, files: Sequence[str], *sources: Any) -> Path:
    """Return the folder to resume, where none is named."""
    from elman.cli.runs import newest_unfinished

    named = [one for source in sources for one in (source if isinstance(source, list) else [source])]
    folder = newest_unfinished(task, [one for one in named if isinstance(one, Path)])
    if folder is None:
        raise UsageError(
            f"{RUNS} holds no unfinished training of task {task} on {' '.join(files)}; name its folder with `out`, or "
            "leave out `resume`"
        )
    return folder


def _train(
    task: str,
    command: Any,
    model: Any,
    data: Any,
    targets: Any,
    valid: Any,
    progress: Progress,
    words: Sequence[str],
) -> int:
    """Train, and print the figures and the next step."""
    logging.getLogger("elman.nn").setLevel(logging.INFO)  # which backend computes the layers, and why
    try:
        model.fit(
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
        from elman.training.checkpoint import FILE_NAME

        if not (command.out / FILE_NAME).exists():
            raise
        message, number = (str(stop), stop.exit_code - 128) if isinstance(stop, Interrupted) else ("interrupted", 2)
        given = {name: getattr(command, name, None) for name in ("images", "valid", "valid_images")}
        options = [word for name, value in given.items() if value for word in (flag(name), *as_list(value))]
        again = shlex.join([*as_list(command.files), *options, "--out", str(command.out), "--resume"])
        raise Interrupted(f"{message}\nContinue with: {program()} train {task} {again}", number) from None
    figures = model.metrics_.get("valid", {})
    if figures:
        unit = next(name for name in ("examples", "tokens", "events") if name in figures)
        unknown = f", {figures['unknown']:,} of them unknown" if unit == "tokens" and figures.get("unknown") else ""
        try:
            print(f"{command.out}: {describe_metrics(figures, digits=4)} on {figures[unit]:,} held-out {unit}{unknown}")
            next_step = TASKS[task].next_step.format(folder=shlex.quote(str(command.out)))
            print(next_step.replace(" elman ", f" {program()} "), flush=True)
            if warning := model.metrics_.get("warning"):
                print(
                    f"Warning: {with_flags(warning)}{_suggest_command(task, command, words, model.metrics_)}",
                    flush=True,
                )
        except StorageError as error:
            raise StorageError(f"{error}. The model is saved in {command.out}") from error
    return 0


def _suggest_command(task: str, command: Any, words: Sequence[str], metrics: dict[str, Any]) -> str:
    """Return the end of a warning: the command that does what it advises, if there is one.

    Args:
        task: the task.
        command: the command, parsed.
        words: the words that this command was given after the task.
        metrics: those of the model, with the warning and its remedy.
    """
    remedy = metrics["remedy"]
    if not remedy:
        compares = TASKS[task].comparison is not None and "compare models" in metrics["warning"]
        return f": {program()} compare {task} {shlex.join(as_list(command.files))}" if compares else ""
    replaced = {flag(name) for name in (LENGTHS if remedy.keys() & set(LENGTHS) else remedy)} | {"--out"}
    kept: list[str] = []
    skips = False
    for word in words:
        name, _, value = word.partition("=")
        if skips:
            skips = False
        elif name in replaced:
            skips = not value
        elif name not in ("--overwrite", "--resume"):
            kept.append(word)
    options = [part for name, value in remedy.items() for part in (flag(name), f"{value:g}")]
    return f": {program()} train {task} {shlex.join([*kept, *options])}"


def as_list(words: Any) -> list[str]:
    """Return the words of an option that takes one or several, or was not given."""
    if words is None:
        return []
    return [str(words)] if isinstance(words, str | Path) else list(words)


def _defaults(words: Sequence[str], model: type[ModelSettings]) -> ModelSettings:
    """Return the settings of what the options leave open: an earlier run's, a file's, or the model's defaults."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for option in ("--out", "--init-from", "--config"):
        early.add_argument(option, type=parse_path)
    early.add_argument("--resume", action="store_true")
    try:
        given, _ = early.parse_known_args(words)
    except argparse.ArgumentError:  # an option without its value, or an empty one: the full parser reports it
        return model()
    settings: dict[str, Any] = {}
    if given.init_from is not None or given.resume:
        from elman.families.saved.folder import read_config

    if given.init_from is not None:
        architecture = saved_settings(model, read_config(given.init_from), given.init_from)
        settings |= {name: architecture[name] for name in model.architecture if name in architecture}
    if given.resume and given.out is not None and (config := read_config(given.out, missing_ok=True)):
        settings |= saved_settings(model, config, given.out)
    if given.config is not None:
        from_file = settings_from_toml(given.config, model)
        options = {word.partition("=")[0] for word in words}
        if options & {flag(name) for name in LENGTHS}:  # they override the file, whichever of the three it holds
            from_file = {name: value for name, value in from_file.items() if name not in LENGTHS}
        settings |= from_file
    return replace(model(), **settings)


def _print_prediction(prediction: dict[str, Any]) -> None:
    print(f"plan        {prediction['plan']}")
    print(f"parameters  {prediction['parameters']:,}")
    print(f"memory      {prediction['memory_bytes'] / 2**20:,.1f} MiB for weights, gradients and the optimizer")
    print(f"steps       {prediction['steps']:,} ({prediction['batches_per_epoch']:,} per pass over the data)")
    milliseconds = 1000 * prediction["seconds_per_step"]
    print(f"time        {clock(prediction['seconds'])} ({milliseconds:.0f} ms per step, measured)")
