"""``elman demo``: the main job in about a minute, on text that every Python carries."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from elman.cli.arguments import parse
from elman.cli.compare import print_comparison
from elman.comparison.language_models import Row, compare_language_models
from elman.data.samples import sample_text
from elman.models.language_model import LanguageModel
from elman.training.progress import progress_for


@dataclass(kw_only=True)
class Demo:
    """Train a character model on Python's own documentation, set it beside a Markov model, and save it."""

    minutes: float = 1.0
    """How long to train."""
    out: Path = Path("runs/demo")
    """Folder for the model; what an earlier demo left there is replaced."""


def run(words: Sequence[str]) -> int:
    """Show what ``words`` say; see ``elman demo --help``."""
    command = parse(Demo, words, "elman demo")
    text = sample_text("topics")
    settings = LanguageModel(minutes=command.minutes)
    settings.check()
    print(f"{len(text):,} characters about Python, from pydoc_data.topics; the last tenth is held out.")
    markov = next(compare_language_models(text, ["ngram:5"], settings))
    print(f"A Markov model (5-grams, Kneser-Ney) reaches {markov.nats_per_token:.3f} nats/char on it. It writes:\n")
    print(_quoted(markov.sample))
    print(f"\nNow an LSTM has {60 * command.minutes:.0f} seconds to do better.")
    model = replace(settings).fit(text, out=command.out, overwrite=True, progress=progress_for(sys.stderr))
    sample = model.generate(max_tokens=400, seed=1)
    figures = model.metrics_["valid"]
    lstm = Row(
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
    folder = shlex.quote(str(command.out))
    print(
        f"\nThe model is in {command.out}. Go on with:\n"
        f'  elman generate {folder} --prompt "The with statement"\n'
        f"  elman info {folder}\n"
        f"  elman train lm YOUR_TEXT.txt --out runs/mine --minutes 3"
    )
    return 0


def _quoted(text: str) -> str:
    return "\n".join(f"    | {line}" for line in text.strip("\n").splitlines())
