"""``elman demo``: the main job in about a minute, on text that every Python carries."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from elman.cli.arguments import parse
from elman.cli.compare import print_comparison
from elman.cli.program import program
from elman.training.progress import progress_for

if TYPE_CHECKING:
    from elman.models.language_model import LanguageModel

SIZES = {384: 1200, 256: 1400}
"""The networks that may be trained, by their hidden size, and the steps after which each has passed the 5-grams."""


@dataclass(kw_only=True)
class Demo:
    """Train a character model on Python's own documentation, set it beside a Markov model, and save it."""

    minutes: float = 1.0
    """How long to train."""
    seconds: float | None = None
    """How long to train, in place of minutes."""
    out: Path = Path("runs/demo")
    """Folder for the model; what an earlier demo left there is replaced."""


def run(words: Sequence[str]) -> int:
    """Show what ``words`` say; see ``elman demo --help``."""
    command = parse(Demo, words, "elman demo")
    from elman.comparison.language_models import LanguageModelRow, compare_language_models
    from elman.data.samples import sample_text
    from elman.models.language_model import LanguageModel

    text = sample_text("topics")
    minutes = command.minutes if command.seconds is None else command.seconds / 60
    settings = LanguageModel(minutes=minutes)
    settings.check()
    print(f"{len(text):,} characters about Python, from pydoc_data.topics; the last tenth is held out.")
    markov = next(compare_language_models(text, ["ngram:5"], settings))
    print(f"A Markov model (5-grams, Kneser-Ney) reaches {markov.nats_per_token:.3f} nats/char on it. It writes:\n")
    print(_quoted(markov.sample))
    settings = _affordable(settings, text)
    print(f"\nNow an LSTM of {settings.hidden_size} units has {60 * minutes:.0f} seconds to do better.", flush=True)
    model = replace(settings).fit(text, out=command.out, overwrite=True, progress=progress_for(sys.stderr))
    sample = model.generate(max_tokens=400, seed=1)
    figures = model.metrics_["valid"]
    lstm = LanguageModelRow(
        model=f"lstm:{settings.num_layers}x{settings.hidden_size}",
        nats_per_token=figures["nats_per_token"],
        bits_per_character=figures["bits_per_character"],
        perplexity=figures["perplexity"],
        parameters=model.metrics_["parameters"],
        memory_bytes=4 * model.metrics_["parameters"],
        seconds=model.metrics_["train"]["seconds"],
        unseen_contexts=None,
        sample=sample,
    )
    print_comparison([markov, lstm])
    if lstm.nats_per_token >= markov.nats_per_token:
        seconds_per_step = model.metrics_["train"]["seconds"] / model.metrics_["train"]["steps"]
        more = max(math.ceil(1.2 * SIZES[settings.hidden_size] * seconds_per_step / 60), math.ceil(2 * minutes))
        print(
            f"\nThe LSTM is still behind: {lstm.nats_per_token:.3f} nats/char against {markov.nats_per_token:.3f}. "
            f"At this machine's present speed it should be ahead\nafter about {more} minutes: "
            f"{program()} demo --minutes {more}"
        )
    again, folder = program(), shlex.quote(str(command.out))
    print(
        f"\nThe model is in {command.out}. Go on with:\n"
        f'  {again} generate {folder} --prompt "The with statement"\n'
        f"  {again} info {folder}\n"
        f"  {again} train lm YOUR_TEXT.txt --minutes 3"
    )
    return 0


def _affordable(settings: LanguageModel, text: str) -> LanguageModel:
    """Return the largest network that, at the measured speed, gets as many steps as it needs to win; else the least."""
    for hidden_size, steps in SIZES.items():
        settings = replace(settings, hidden_size=hidden_size)
        if settings.dry_run(text)["steps"] >= steps:
            break
    return settings


def _quoted(text: str) -> str:
    return "\n".join(f"    | {line}" for line in text.strip("\n").splitlines())
