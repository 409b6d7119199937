"""``elman train TASK``: one call of ``fit``."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import MISSING, dataclass, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from elman.cli.arguments import Switch, check_there, examples, named_path, parse, settings_from_toml
from elman.cli.flags import with_flags
from elman.cli.program import program
from elman.cli.settings import setting_fields, settings_of
from elman.errors import Interrupted, StorageError, UsageError, suggest
from elman.models.tasks import TASKS, TaskRow
from elman.settings.base import ModelSettings, saved_settings
from elman.training.progress import clock, describe_metrics, progress_for

LENGTHS = ("minutes", "epochs", "steps")


@dataclass(kw_only=True)
class Train:
    """What every ``elman train TASK`` takes; :func:`command_of` adds a task's own files and settings."""

    out: Path | None = None
    """Folder for the run and then the model; the next free runs/TASK-N where not given."""
    resume: Switch = False
    """Go on from the checkpoint in the folder, with the settings that it began with; without --out, in the newest
    unfinished folder in runs that has the same task and data."""
    overwrite: Switch = False
    """Replace the model or the unfinished training in the folder."""
    init_from: Path | None = None
    """Begin from this saved model: its architecture, vocabulary and weights."""
    config: Path | None = None
    """Take settings from this TOML file; flags go before it."""
    dry_run: Switch = False
    """Tell parameters, memory, predicted steps and time, then stop."""


def command_of(row: TaskRow, settings: ModelSettings) -> type[Train]:
    """Return the dataclass of a task's command: its flags, their help, and these settings where none is given."""
    files, argument = row.files, tyro.conf.arg
    conf: Any = tyro.conf
    word: Any = str if files.most == 1 else tuple[str, ...]
    positional: Any = Annotated[word, argument(metavar=files.metavar, help=files.help, help_behavior_hint="")]
    fields: list[tuple[str, Any, Any]] = [("files", conf.Positional[positional], MISSING)]
    several = files.most == 2
    about = f"{'File or files' if several else 'File'} to validate on, in place of a part of the training data."
    validation: Any = tuple[str, ...] if several else str | None
    in_words = argument(help=about, help_behavior_hint="(default: a tenth of the data; see --valid-fraction)")
    metavar = argument(metavar="FILE [FILE]" if several else "FILE")
    fields.append(("valid", Annotated[validation, in_words, metavar], () if several else None))
    if files.of_pictures:
        for name, help in {
            "images": "The folder of the pictures, or an .npz of ready features.",
            "valid_images": "The pictures of --valid, where they lie elsewhere.",
        }.items():
            fields.append((name, Annotated[Path | None, argument(help=help)], None))
    fields += setting_fields(type(settings), settings)
    command = make_dataclass(f"Train{row.class_name}", fields, bases=(Train,), kw_only=True)
    command.__doc__ = row.help
    return command


def run(words: Sequence[str]) -> int:
    """Train what ``words`` say; see ``elman train TASK --help``."""
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: elman train TASK ...\n\nTASK is one of: {', '.join(TASKS)}; elman train TASK --help tells more")
        return 0
    if words[0] not in TASKS:
        raise UsageError(
            f"elman train has no task {words[0]}{suggest(words[0], TASKS) or ';'} it has {', '.join(TASKS)}"
        )
    task = words[0]
    command, model = _parsed(task, words[1:])
    files, valid_files = _listed(command.files), _listed(command.valid)
    if not files:
        raise UsageError(f"elman train {task} needs a file: elman train {task} FILE...")
    images, valid_images = (getattr(command, name, None) for name in ("images", "valid_images"))  # few tasks have them
    data, targets = examples(task, files, images)
    valid = None
    if valid_files:
        pair = examples(task, valid_files, valid_images or images)
        valid = pair[0] if pair[1] is None else pair
    check_there(data, targets, *(valid if isinstance(valid, tuple) else (valid,)))
    if command.dry_run:
        _print_prediction(model.dry_run(data, targets, valid=valid))
        return 0
    from elman.cli.runs import next_folder

    with ExitStack() as stack:
        if command.out is None:
            if command.overwrite:
                raise UsageError("`overwrite` replaces what a folder holds: name the folder with `out`")
            if command.resume:
                command, model = _parsed(task, [*words[1:], "--out", str(_unfinished(task, files, data, targets))])
            else:
                model.check()
                command.out = stack.enter_context(next_folder(task))
                print(f"elman: the model goes into {command.out}; --out names another folder", file=sys.stderr)
        return _train(task, command, model, data, targets, valid)


def _parsed(task: str, words: Sequence[str]) -> tuple[Any, Any]:
    """Return the command that the words after the task are, and the model with the settings in it."""
    row = TASKS[task]
    command = parse(command_of(row, _defaults(words, row.settings_class)), words, f"elman train {task}")
    return command, row.model_class(**settings_of(command, row.settings_class).get_params())


def _unfinished(task: str, files: Sequence[str], *sources: Any) -> Path:
    """Return the folder to go on in, where none is named."""
    from elman.cli.runs import RUNS, newest_unfinished

    named = [one for source in sources for one in (source if isinstance(source, list) else [source])]
    folder = newest_unfinished(task, [one for one in named if isinstance(one, Path)])
    if folder is None:
        raise UsageError(
            f"no unfinished training of task {task} on {' '.join(files)} is in {RUNS}; name its folder with `out`, or "
            "leave out `resume`"
        )
    return folder


def _train(task: str, command: Any, model: Any, data: Any, targets: Any, valid: Any) -> int:
    """Train, and say what came of it."""
    progress = progress_for(sys.stderr)
    logging.getLogger("elman.nn").setLevel(logging.INFO)  # what computes the layers, and why
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
        said, number = (str(stop), stop.exit_code - 128) if isinstance(stop, Interrupted) else ("interrupted", 2)
        named = {name: getattr(command, name, None) for name in ("images", "valid", "valid_images")}
        flags = [word for name, value in named.items() if value for word in (with_flags(f"`{name}`"), *_listed(value))]
        again = shlex.join([*_listed(command.files), *flags, "--out", str(command.out), "--resume"])
        raise Interrupted(f"{said}\nGo on with: {program()} train {task} {again}", number) from None
    figures = model.metrics_.get("valid", {})
    if figures:
        unit = next(name for name in ("examples", "tokens", "events") if name in figures)
        unknown = f", {figures['unknown']:,} of them unknown" if unit == "tokens" and figures.get("unknown") else ""
        try:
            print(f"{command.out}: {describe_metrics(figures, digits=4)} on {figures[unit]:,} held-out {unit}{unknown}")
            next_step = TASKS[task].next_step.format(folder=shlex.quote(str(command.out)))
            print(next_step.replace(" elman ", f" {program()} "), flush=True)
        except StorageError as error:
            raise StorageError(f"{error}. The model is saved in {command.out}") from error
    return 0


def _listed(words: Any) -> list[str]:
    """Return the words of an option that takes none, one or several."""
    if words is None:
        return []
    return [str(words)] if isinstance(words, str | Path) else list(words)


def _defaults(words: Sequence[str], model: type[ModelSettings]) -> ModelSettings:
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
    if given.init_from is not None or given.resume:
        from elman.families.saved.folder import read_config

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
