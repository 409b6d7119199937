"""The settings of what reads a whole sequence and labels it: the tagger and the classifier."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from elman.settings.base import ExampleSettings


@dataclass(kw_only=True, eq=False)
class SequenceSettings(ExampleSettings):
    """The encoder."""

    hidden_size: int = 200
    bidirectional: bool = True
    """Read from both sides, so that a token is seen with what follows it too."""
    merge: Literal["concat", "sum", "product"] = "concat"
    """How the outputs of the two directions become one."""
    dropout: float = 0.5
    batch_tokens: int = 1000
    learning_rate: float = 4e-3


@dataclass(kw_only=True, eq=False)
class LabellingSettings(SequenceSettings):
    """How words become vectors."""

    embedding_size: int | None = None
    """Length of a token's vector; as long as the pretrained ones, or 100, where not given."""
    vectors: Path | None = None
    """Add these pretrained vectors to the words' own (GloVe, word2vec text or binary, fastText; also .gz and .zip)."""
    vector_words: int = 100_000
    """Besides the vectors of the words in the data, keep those of so many of the file's first words: they stand for
    words that training never sees."""
    lowercase: bool = True
    """Give words that differ in capitals only one vector; their characters are read as they are."""
    min_count: int = 1
    """Words rarer than this are <unk>."""
    characters: Literal["lstm", "none"] = "none"
    """What reads the words' characters: a small LSTM from either side, or nothing."""
    character_size: int = 100
    """Length of what the characters give, half of it from each side."""
    word_dropout: float = 1.0
    """While training, a word that occurs n times is <unk> with probability word_dropout / (word_dropout + n)."""


@dataclass(kw_only=True, eq=False)
class TaggerSettings(LabellingSettings):
    """Where the words and the tags are, and how tags are scored."""

    task: ClassVar[str] = "tagger"
    architecture: ClassVar[tuple[str, ...]] = (
        *("cell", "hidden_size", "num_layers", "bidirectional", "merge", "embedding_size", "lowercase", "min_count"),
        *("characters", "character_size", "crf"),
    )

    column: str | None = None
    """What the tags are: a column of CoNLL-U (upos, xpos, feats ...) or the number of another format's, from 0, or from
    the end with -1. Where not given, upos of CoNLL-U, and the last column of other formats."""
    input_format: str | None = None
    """What files are written in, by a name of `elman predict --input-format`; found out from a file where not given."""
    word_column: int = 0
    """Where the words are, in formats other than CoNLL-U."""
    hidden_size: int = 160
    num_layers: int = 2
    characters: Literal["lstm", "none"] = "lstm"
    crf: bool = False
    """Score whole sequences of tags (linear-chain CRF), not each tag by itself."""


@dataclass(kw_only=True, eq=False)
class ClassifierSettings(LabellingSettings):
    """Where the texts and the labels are, and how a sequence becomes one vector."""

    task: ClassVar[str] = "classifier"
    architecture: ClassVar[tuple[str, ...]] = (
        *("cell", "hidden_size", "num_layers", "bidirectional", "merge", "embedding_size", "lowercase", "min_count"),
        *("characters", "character_size", "level", "pooling"),
    )

    text: str = "text"
    """The column of the text: its name, or its number from 0."""
    label: str = "label"
    """The column of the label: its name, or its number from 0."""
    input_format: str | None = None
    """What files are written in, by a name of `elman predict --input-format`; found out from a file where not given."""
    no_header: bool = False
    """The table has no line of names; text and label are numbers."""
    level: Literal["word", "char", "bpe", "numbers"] = "word"
    """What a sequence is made of: words and marks, characters, pieces found by byte-level BPE, or rows of numbers."""
    vocab_size: int = 4096
    """How many pieces BPE learns (level bpe only)."""
    max_length: int = 2000
    """Longer texts are cut after so many tokens."""
    pooling: Literal["last", "mean", "max", "attention"] = "max"
    """What of the hidden states is passed to the output layer: the last one (of each direction), their mean, their
    maximum, or a sum weighted by attention."""
    class_weights: bool = False
    """Let each label count the same in training, however rare."""
    max_epochs: float = 20
    learning_rate: float = 2e-3
