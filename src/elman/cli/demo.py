"""``elman demo``: train, compare and save in about a minute, on text that every Python carries."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from elman.cli.arguments import parse
from elman.cli.compare import print_comparison
from elman.cli.help import About
from elman.cli.layout import paragraphs
from elman.cli.program import program
from elman.training.progress import progress_for

if TYPE_CHECKING:
    from elman.models.language_model import LanguageModel

STEPS_TO_WIN = {192: 2000, 256: 1400, 384: 1200}
"""The hidden sizes to choose from, each with a number of steps after which it is ahead of the 5-grams."""
TRAINING_SHARE = 0.9  # of the time; the rest goes into validation, samples and saving


@dataclass(kw_only=True)
class Demo:
    """Train a character model on Python's own documentation, compare it with a Markov model, and save it."""

    minutes: float = 1.0
    """Training time."""
    seconds: float | None = None
    """Training time in seconds; replaces --minutes."""
    out: Annotated[Path, About(metavar="DIR")] = Path("runs/demo")
    """Folder for the model; an earlier demo in it is replaced."""


def run(words: Sequence[str]) -> int:
    """Run the demo; see ``elman demo --help``."""
    command = parse(Demo, words, "elman demo")
    from elman.comparison.language_models import LanguageModelRow, compare_language_models
    from elman.data.samples import sample_text
    from elman.models.language_model import LanguageModel

    text = sample_text("topics")
    minutes = command.minutes if command.seconds is None else command.seconds / 60
    settings = LanguageModel(minutes=minutes)
    settings.check()
    print(paragraphs(f"{len(text):,} characters about Python, from pydoc_data.topics; the last tenth is held out."))
    markov = next(compare_language_models(text, ["ngram:5"], settings))
    reached = f"{markov.nats_per_token:.3f} nats/char"
    print(paragraphs(f"A Markov model (5-grams, Kneser-Ney) reaches {reached} on it. It writes:") + "\n")
    print(_quote(markov.sample), flush=True)
    settings = choose_network(settings, text)
    print(f"\nNow an LSTM of {settings.hidden_size} units has {60 * minutes:.0f} seconds to do better.", flush=True)
    model = replace(settings).fit(text, out=command.out, overwrite=True, progress=progress_for(sys.stderr))
    figures, train = model.metrics_["valid"], model.metrics_["train"]
    lstm = LanguageModelRow(
        model=f"lstm:{settings.num_layers}x{settings.hidden_size}",
        nats_per_token=figures["nats_per_token"],
        bits_per_character=figures["bits_per_character"],
        perplexity=figures["perplexity"],
        perplexity_per_word=figures["perplexity_per_word"],
        parameters=model.metrics_["parameters"],
        memory_bytes=4 * model.metrics_["parameters"],
        seconds=train["seconds"],
        unseen_contexts=None,
        sample=model.generate(max_tokens=400, seed=1),
    )
    print_comparison([markov, lstm])
    again, folder = program(), shlex.quote(str(command.out))
    scores = f"{lstm.nats_per_token:.3f} nats/char against {markov.nats_per_token:.3f}"
    if lstm.nats_per_token < markov.nats_per_token:
        print(f"\nThe LSTM wins: {scores}.")
    else:
        steps = STEPS_TO_WIN[settings.hidden_size] / TRAINING_SHARE
        more = max(math.ceil(steps * train["seconds"] / train["steps"] / 60), math.ceil(minutes) + 1)
        behind = (
            f"The LSTM is still behind: {scores}. It was trained for {train['steps']:,} steps, and is usually ahead "
            f"after {STEPS_TO_WIN[settings.hidden_size]:,}: at the speed of this run, in about {more} minutes."
        )
        print(f"\n{paragraphs(behind)}\n  {again} demo --minutes {more}")
    print(
        f"\nThe model is in {command.out}. Next:\n"
        f'  {again} generate {folder} --prompt "The with statement"\n'
        f"  {again} info {folder}\n"
        f"  {again} train lm YOUR_TEXT.txt --minutes 3"
    )
    return 0


def choose_network(settings: LanguageModel, text: str) -> LanguageModel:
    """Return the largest network that wins in its time at the speed measured now, or else the smallest.

    The smallest is timed first, so that a slow machine need not time the others. Where it is too slow, it is timed on
    one thread, too: on a busy machine, several threads that wait for each other are slower than one alone.
    """
    first, *larger = (replace(settings, hidden_size=hidden_size) for hidden_size in sorted(STEPS_TO_WIN))
    share = _share_of_needed_steps(first, text)
    if share < 1:
        alone = replace(first, threads=1)
        return alone if _share_of_needed_steps(alone, text) > share else first
    chosen = first
    for network in larger:
        if _share_of_needed_steps(network, text) < 1:
            break
        chosen = network
    return chosen


def _share_of_needed_steps(settings: LanguageModel, text: str) -> float:
    return TRAINING_SHARE * int(settings.dry_run(text)["steps"]) / STEPS_TO_WIN[settings.hidden_size]


def _quote(text: str) -> str:
    return "\n".join(f"    | {line}" for line in text.strip("\n").splitlines())
