"""``elman generate DIR``: write on from a prompt, in text or in music."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from elman.cli.arguments import check_svg, parse
from elman.data.lines import Problems
from elman.data.music.tunes import read_tunes, shorten_primer
from elman.decoding.options import Sampling
from elman.drawing.roll import piano_roll
from elman.errors import UsageError
from elman.files import write_files
from elman.models import load
from elman.models.tasks import TASKS


@dataclass(kw_only=True)
class Generate:
    """Write on with a saved model: text from a prompt, to the terminal as it is written; or music, into a MIDI file."""

    folder: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DIR")]]
    """The saved model."""
    prompt: str = ""
    """Text to go on from, however long; it is printed too (language models)."""
    prompt_file: Path | None = None
    """Read the prompt from this file (language models)."""
    stop: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Stop before this text; may be given several times (language models)."""
    primer: Path | None = None
    """MIDI or ABC file to go on from; it is the beginning of the tune (composers)."""
    seconds: float | None = None
    """How long the tune is to be; where neither this nor --bars is given, the network ends it (composers)."""
    bars: int | None = None
    """How many bars the tune is to have (composers of remi events)."""
    out: Path | None = None
    """MIDI file to write (composers)."""
    wav: Path | None = None
    """Play the tune on a simple synthesiser into this WAV file, too (composers)."""
    roll: Path | None = None
    """Draw the tune as a piano roll, as an SVG, into this file, too (composers)."""
    max_tokens: int | None = None
    """How many tokens or events to write at most; where not given, 400 of text, and of music as many as it takes."""
    num_samples: int = 1
    """How many texts or tunes to write; tunes are numbered: tune-1.mid."""
    seed: int | None = None
    """The same seed gives the same text or tune."""
    sampling: tyro.conf.OmitArgPrefixes[Sampling] = field(default_factory=Sampling)


TEXT_ONLY = ("prompt", "prompt_file", "stop")
MUSIC_ONLY = ("primer", "seconds", "bars", "out", "wav", "roll")


def run(words: Sequence[str]) -> int:
    """Write what ``words`` say; see ``elman generate --help``."""
    command = parse(Generate, words, "elman generate")
    command.sampling.check()
    check_svg("--roll", command.roll)
    if command.num_samples < 1:
        raise UsageError(f"num_samples is {command.num_samples}; it must be at least 1")
    model = load(command.folder)
    kind = TASKS[model.task].generates
    if kind is None:
        raise UsageError(f"{command.folder} is a {model.task}, which does not write on; see elman predict")
    writes_music = kind == "music"
    for name in TEXT_ONLY if writes_music else MUSIC_ONLY:
        if getattr(command, name):
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{flag} is for {'texts' if writes_music else 'tunes'}, but {command.folder} is another model"
            )
    for index in range(command.num_samples):
        seed = None if command.seed is None else command.seed + index
        if writes_music:
            _compose(model, command, seed, index)
        else:
            _write(model, command, seed, index)
    return 0


def _write(model: Any, command: Generate, seed: int | None, index: int) -> None:
    """Print a text as it is written."""
    if command.prompt and command.prompt_file is not None:
        raise UsageError("--prompt and --prompt-file are both given: one of them is the prompt")
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
    """Write a tune into the files that were named."""
    if command.out is None:
        raise UsageError("music goes into a file: name it with --out tune.mid")
    named = [path for path in (command.out, command.wav, command.roll) if path is not None]
    if len(set(named)) < len(named):
        raise UsageError(f"{named[0]} is named twice: --out, --wav and --roll are three files")
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
