"""The settings of models that predict the next token of a sequence: the language model and the composer."""

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
    """The network and its batches."""

    cell: NetworkName = "lstm"
    """Cell of the recurrent layers (rnn is the simple, Elman network), or window, a feed-forward network over the last
    tokens."""
    hidden_size: int = 384
    learning_rate: float = 6e-3
    max_epochs: float = 100
    embedding_size: int | None = None
    """Size of a token's embedding. Default: 64 for characters, 128 for other tokens."""
    window: int = 5
    """How many tokens a window network sees (cell window only)."""
    batch_size: int = 16
    """Parallel streams in a batch; for independent sequences, as many as fit into batch_size * bptt_length tokens."""
    bptt_length: int = 64
    """Time steps that gradients flow back through (truncated BPTT); the state is carried on beyond them."""
    dropout: float | None = None
    """Dropout between layers and before the head. Default: grows with the number of passes over the data, 0 for one
    pass, 0.1 for two, 0.2 for four, 0.3 for eight, at most 0.5."""
    tie_weights: bool = False
    """Use the embedding matrix as the output matrix V, with a projection if their sizes differ."""
    initial_state: Literal["zeros", "random", "learned"] = "zeros"
    """The hidden state before the first token."""
    forget_bias: float = 0.0
    """Initial value added to the bias of the LSTM's forget gates; 1 or 2 keeps them open and helps to learn long
    dependencies."""


@dataclass(kw_only=True, eq=False)
class LanguageModelSettings(NextTokenSettings):
    """The tokens and the data of a language model."""

    task: ClassVar[str] = "lm"
    architecture: ClassVar[tuple[str, ...]] = (
        *("level", "lines", "cell", "hidden_size", "num_layers", "embedding_size", "window"),
        *("tie_weights", "initial_state"),
    )

    level: Literal["char", "word", "space", "bpe"] = "char"
    """The unit of a token: a character; a word or punctuation mark; for a text that is tokenized already, whatever
    stands between white space; or a byte-level BPE piece."""
    lines: bool = False
    """Read each line as an independent sequence from <s> to </s> instead of one long stream."""
    vectors: Path | None = None
    """Initialize the embedding with these pretrained vectors (GloVe, fastText or word2vec text; level word, space)."""
    vocab_size: int | None = None
    """The largest vocabulary. Default: 10000 for words, 4096 for BPE, no limit for a text of level space that contains
    <unk>; all characters are always kept."""
    min_count: int | None = None
    """Words that occur less often become <unk>. Default: 2, so that <unk> is learned; 1 for a text of level space that
    contains <unk> already (level word, space)."""
    valid_characters: int = 250_000
    """The most characters of the validation text that fit evaluates on; evaluate always uses the whole text."""


@dataclass(kw_only=True, eq=False)
class ComposerSettings(NextTokenSettings):
    """The events and the batches of a composer."""

    task: ClassVar[str] = "composer"
    architecture: ClassVar[tuple[str, ...]] = (
        *("events", "cell", "hidden_size", "num_layers", "embedding_size", "window"),
        *("tie_weights", "initial_state"),
    )

    events: Literal["midilike", "remi"] = "midilike"
    """The events of a tune. midilike: note on, note off and time shifts in hundredths of a second, which keep a
    performance. remi: bars, positions, note lengths in fractions of a beat and tempos, which keep a score."""
    transpose: int = 5
    """While training, transpose each tune up or down by a random number of semitones, at most this many; 0: never."""
    longest: int = 2048
    """Cut tunes with more events than this into several for training."""
    batch_size: int = 16
    """Tunes in a batch if they have bptt_length events each; fewer if they are longer."""
    bptt_length: int = 256
    """Determines, with batch_size, the number of events in a batch; gradients flow through whole tunes."""
