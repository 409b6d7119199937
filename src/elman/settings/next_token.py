"""The settings of what reads a sequence and says what comes next: the language model and the composer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from elman.nn.cells import CELLS
from elman.settings.base import ModelSettings

if TYPE_CHECKING:
    NetworkName = str
else:
    NetworkName = Literal[(*CELLS, "window")]


@dataclass(kw_only=True, eq=False)
class NextTokenSettings(ModelSettings):
    """The network, and how its data become batches."""

    cell: NetworkName = "lstm"
    """The network that reads: the cell of its recurrent layers (rnn is the simple, Elman's network), or window, a
    feed-forward network over the last tokens."""
    hidden_size: int = 384
    embedding_size: int | None = None
    """Length of a token's vector; 64 for characters, 128 for other tokens where not given."""
    window: int = 5
    """How many tokens back a window network sees (cell window only)."""
    batch_size: int = 16
    """Parallel streams of the data in a batch; of sequences read by themselves, so many of about bptt_length tokens."""
    bptt_length: int = 64
    """Time steps that gradients flow back through (truncated BPTT); the state is carried on beyond them."""
    dropout: float | None = None
    """Share of hidden values, between layers and before the head, set to zero while training. Where not given, it grows
    with how often the data are read: 0 for one pass, 0.1 for two, 0.2 for four, 0.3 for eight, at most 0.5."""
    tie_weights: bool = False
    """Use the embedding's matrix as the output matrix V, with a projection where their sizes differ."""
    initial_state: Literal["zeros", "random", "learned"] = "zeros"
    """The hidden state before the first token."""
    forget_bias: float = 0.0
    """Begin with this added to the LSTM's forget gates; 1 or 2 keeps them open, to learn over long distances sooner."""


@dataclass(kw_only=True, eq=False)
class LanguageModelSettings(NextTokenSettings):
    """What a token is, and which there are."""

    task: ClassVar[str] = "lm"
    architecture: ClassVar[tuple[str, ...]] = (
        *("level", "lines", "cell", "hidden_size", "num_layers", "embedding_size", "window"),
        *("tie_weights", "initial_state"),
    )

    level: Literal["char", "word", "bpe"] = "char"
    """What a token is: a character, a word or punctuation mark, or a piece found by byte-level BPE."""
    lines: bool = False
    """Read the text line by line, each from <s> to </s> on its own, in place of one long stream."""
    vectors: Path | None = None
    """Begin the embedding from these pretrained vectors (GloVe, fastText or word2vec text; level word only)."""
    vocab_size: int | None = None
    """At most so many tokens: 10000 for words, 4096 for BPE where not given; characters are all kept."""
    min_count: int | None = None
    """Words rarer than this become <unk>; 2 where not given, so that <unk> is learned (level word only)."""
    valid_characters: int = 250_000
    """At most so many characters of the validation text are judged by fit; evaluate judges any text whole."""


@dataclass(kw_only=True, eq=False)
class ComposerSettings(NextTokenSettings):
    """What a tune is made of, and how tunes are learned."""

    task: ClassVar[str] = "composer"
    architecture: ClassVar[tuple[str, ...]] = (
        *("events", "cell", "hidden_size", "num_layers", "embedding_size", "window"),
        *("tie_weights", "initial_state"),
    )

    events: Literal["midilike", "remi"] = "midilike"
    """What a tune is made of: notes on and off and time shifts of hundredths of a second, which keep a performance as
    it was; or bars, positions and note lengths in parts of a beat, with tempos, which keep it as it is written."""
    transpose: int = 5
    """While training, each tune is moved up or down by up to so many semitones, drawn anew each time; 0: never."""
    longest: int = 2048
    """Tunes of more events than this are cut into several for training."""
    batch_size: int = 16
    """Tunes in a batch if they were of bptt_length events; of longer ones there are fewer."""
    bptt_length: int = 256
    """With batch_size, says how many events there are in a batch; gradients flow through whole tunes."""
