"""``elman generate DIR``: write on from a prompt."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from elman.cli.arguments import parse
from elman.decoding.sampling import Sampling
from elman.errors import UsageError
from elman.models import load


@dataclass(kw_only=True)
class Generate:
    """Write on from a prompt with a saved language model, to the terminal as it is written."""

    folder: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DIR")]]
    """The saved model."""
    prompt: str = ""
    """Text to go on from, however long; it is printed too."""
    prompt_file: Path | None = None
    """Read the prompt from this file."""
    max_tokens: int = 400
    """How many tokens to write at most."""
    num_samples: int = 1
    """How many texts to write."""
    seed: int | None = None
    """The same seed gives the same text."""
    stop: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Stop before this text; may be given several times."""
    sampling: tyro.conf.OmitArgPrefixes[Sampling] = field(default_factory=Sampling)


def run(words: Sequence[str]) -> int:
    """Write what ``words`` say; see ``elman generate --help``."""
    command = parse(Generate, words, "elman generate")
    command.sampling.check()
    if command.num_samples < 1:
        raise UsageError(f"num_samples is {command.num_samples}; it must be at least 1")
    if command.prompt and command.prompt_file is not None:
        raise UsageError("--prompt and --prompt-file are both given: one of them is the prompt")
    model = load(command.folder)
    prompt: str | Path = command.prompt_file or command.prompt
    for index in range(command.num_samples):
        if command.num_samples > 1:
            print(f"--- sample {index + 1} of {command.num_samples}")
        print(command.prompt, end="", flush=True)
        pieces = model.stream(
            prompt,
            sampling=command.sampling,
            max_tokens=command.max_tokens,
            seed=None if command.seed is None else command.seed + index,
            stop=command.stop,
        )
        for piece in pieces:
            sys.stdout.write(piece)
            sys.stdout.flush()
        print()
    return 0
