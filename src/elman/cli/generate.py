"""``elman generate DIR``: text or music, written by a model."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from elman.cli.arguments import parse
from elman.cli.flags import flag
from elman.cli.help import About
from elman.cli.inputs import check_model, check_svg, is_model
from elman.cli.interventions import Interventions, set_units
from elman.decoding.options import Sampling
from elman.errors import UsageError
from elman.files import write_files
from elman.models.tasks import TASKS

_TEXT = About(group="text")


@dataclass(kw_only=True)
class Generate(Interventions):
    """Generate with a saved model: text, printed as it is written, or music, into a MIDI file."""

    folder: tyro.conf.Positional[Annotated[Path, About(metavar="DIR")]]
    """The saved model."""
    prompt: Annotated[str, _TEXT] = ""
    """Text to continue, of any length; it is printed, too."""
    prompt_file: Annotated[Path | None, About(metavar="FILE", group="text")] = None
    """Read the prompt from this file."""
    stop: tyro.conf.UseAppendAction[Annotated[tuple[str, ...], _TEXT]] = ()
    """Stop before this text; may be given several times."""
    primer: Annotated[Path | None, About(metavar="FILE", group="music")] = None
    """MIDI or ABC file to continue; it becomes the beginning of the tune."""
    seconds: Annotated[float | None, About(group="music", default="the network ends the tune")] = None
    """Length of the tune."""
    bars: Annotated[int | None, About(group="music")] = None
    """Length of the tune in bars (models of remi events)."""
    out: Annotated[Path | None, About(metavar="MIDI", group="music")] = None
    """File to write; music needs one."""
    wav: Annotated[Path | None, About(metavar="WAV", group="music")] = None
    """Play the tune on a simple synthesizer into this file, too."""
    roll: Annotated[Path | None, About(metavar="SVG", group="music")] = None
    """Draw the tune as a piano roll into this file, too."""
    max_tokens: Annotated[int | None, About(group="length and number", default="400 of text; no limit of music")] = None
    """Most tokens or events to write."""
    num_samples: Annotated[int, About(group="length and number")] = 1
    """Number of texts or tunes to write; tunes are numbered: tune-1.mid."""
    seed: Annotated[int | None, About(group="sampling")] = None
    """The same seed gives the same text or tune."""
    sampling: tyro.conf.OmitArgPrefixes[Annotated[Sampling, About(group="sampling")]] = field(default_factory=Sampling)


TEXT_ONLY = ("prompt", "prompt_file", "stop")
MUSIC_ONLY = ("primer", "seconds", "bars", "out", "wav", "roll")


def run(words: Sequence[str]) -> int:
    """Generate text or music; see ``elman generate --help``."""
    _check_order(words)
    command = parse(Generate, words, "elman generate")
    command.sampling.check()
    check_svg("--roll", command.roll)
    check_model(command.folder)
    if command.num_samples < 1:
        raise UsageError(f"`num_samples` is {command.num_samples}; it must be at least 1")
    from elman.models import load

    model = load(command.folder)
    kind = TASKS[model.task].generates
    if kind is None:
        raise UsageError(f"{command.folder} is a {model.task}, which does not generate; see elman predict")
    writes_music = kind == "music"
    for name in TEXT_ONLY if writes_music else MUSIC_ONLY:
        if getattr(command, name):
            raise UsageError(
                f"{flag(name)} is for {'texts' if writes_music else 'tunes'}, but {command.folder} is another model"
            )
    model = set_units(model, command)
    for index in range(command.num_samples):
        seed = None if command.seed is None else command.seed + index
        if writes_music:
            _compose(model, command, seed, index)
        else:
            _write(model, command, seed, index)
    return 0


def _check_order(words: Sequence[str]) -> None:
    """Raise UsageError where a text to continue stands beside the model, without --prompt."""
    if len(words) < 2 or words[0].startswith("-") or words[1].startswith("-"):
        return
    model, text = words[:2] if is_model(words[0]) else reversed(words[:2])
    if is_model(model):
        option = "--prompt-file" if Path(text).is_file() else "--prompt"
        command = shlex.join([model, option, text, *words[2:]])
        raise UsageError(f"a text to continue comes after the model, with {option}: elman generate {command}")


def _write(model: Any, command: Generate, seed: int | None, index: int) -> None:
    """Print a text while it is generated."""
    if command.prompt and command.prompt_file is not None:
        raise UsageError("--prompt and --prompt-file are both given; leave one out")
    if command.num_samples > 1:
        print(f"--- sample {index + 1} of {command.num_samples}")
    print(command.prompt, end="", flush=True)
    pieces = model.stream(
        command.prompt_file or command.prompt,
        sampling=command.sampling,
        max_tokens=400 if command.max_tokens is None else command.max_tokens,
        seed=seed,
        stop=command.stop,
    )
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    print()


def _compose(model: Any, command: Generate, seed: int | None, index: int) -> None:
    """Write a tune into the files that the options name."""
    if command.out is None:
        raise UsageError("music goes into a file: name it with --out tune.mid")
    named = [path for path in (command.out, command.wav, command.roll) if path is not None]
    if len(set(named)) < len(named):
        raise UsageError(f"{named[0]} is named twice: --out, --wav and --roll are three files")
    from elman.data.lines import Problems
    from elman.data.music.tunes import read_tunes, shorten_primer
    from elman.drawing.roll import piano_roll

    primer = None
    if command.primer is not None:
        primer = shorten_primer(read_tunes(command.primer, Problems(shown=0), model.encoding)[0], command.seconds)
    tune = model.compose(
        primer,
        seconds=command.seconds,
        bars=command.bars,
        max_events=command.max_tokens,
        sampling=command.sampling,
        seed=seed,
    )
    files = {command.out: tune.midi()}
    if command.wav is not None:
        files[command.wav] = tune.wav()
    if command.roll is not None:
        files[command.roll] = piano_roll(tune.notes, primer.seconds if primer else 0.0).encode()
    if command.num_samples > 1:
        files = {path.with_stem(f"{path.stem}-{index + 1}"): content for path, content in files.items()}
    write_files(files)
    print(f"{next(iter(files))}: {len(tune.notes):,} notes, {tune.seconds:.1f} seconds")
