"""The settings of models that label sequences: the tagger and the classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from elman.settings.base import ExampleSettings


@dataclass(kw_only=True, eq=False)
class LabellingSettings(ExampleSettings):
    """The encoder of words and of sequences."""

    bidirectional: bool = True
    """Read in both directions, so that each token is seen with its right context too."""
    merge: Literal["concat", "sum", "product"] = "concat"
    """How to merge the outputs of the two directions."""
    dropout: float = 0.5
    embedding_size: int | None = None
    """Size of a word's embedding. Default: that of the pretrained vectors, or 100."""
    vectors: Path | None = None
    """Pretrained vectors to add to the learned ones (GloVe, word2vec text or binary, fastText; also .gz and .zip)."""
    vector_words: int = 100_000
    """Keep the vectors of this many of the file's first words besides those in the data, for words that training never
    sees."""
    lowercase: bool = True
    """Use one vector for words that differ only in case; the character encoder still sees the case. Where the data
    distinguish ı from i, as in Turkish, I is the capital of ı."""
    min_count: int = 1
    """Words that occur less often are <unk>."""
    characters: Literal["lstm", "none"] = "none"
    """Encoder of a word's characters: a small bidirectional LSTM, or none."""
    character_size: int = 100
    """Size of the character encoding, half of it for each direction."""
    word_dropout: float = 1.0
    """Replace a word that occurs n times by <unk> with probability word_dropout / (word_dropout + n)."""


@dataclass(kw_only=True, eq=False)
class TaggerSettings(LabellingSettings):
    """The data and the output layer of a tagger."""

    task: ClassVar[str] = "tagger"
    architecture: ClassVar[tuple[str, ...]] = (
        *("cell", "hidden_size", "num_layers", "bidirectional", "merge", "embedding_size", "lowercase", "min_count"),
        *("characters", "character_size", "crf"),
    )

    column: str | None = None
    """The column of the tags: a name in CoNLL-U (upos, xpos, feats ...), a number in other formats, from 0, or from -1
    for the last one. Default: upos in CoNLL-U, the last column in other formats."""
    input_format: str | None = None
    """Format of the files, by a name of `elman predict --input-format`. Default: detected from the file."""
    word_column: int = 0
    """The column of the words, in formats other than CoNLL-U."""
    hidden_size: int = 160
    num_layers: int = 2
    learning_rate: float = 4e-3
    max_epochs: float = 100
    characters: Literal["lstm", "none"] = "lstm"
    crf: bool = False
    """Score whole sequences of tags with a linear-chain CRF instead of each tag independently."""


@dataclass(kw_only=True, eq=False)
class ClassifierSettings(LabellingSettings):
    """The data and the pooling of a classifier."""

    task: ClassVar[str] = "classifier"
    planned: ClassVar[tuple[str, ...]] = ("crop_length", "hidden_size", "batch_tokens", "learning_rate", "pooling")
    before: ClassVar[Mapping[str, Any]] = {"crop_length": 0}
    architecture: ClassVar[tuple[str, ...]] = (
        *("cell", "hidden_size", "num_layers", "bidirectional", "merge", "embedding_size", "lowercase", "min_count"),
        *("characters", "character_size", "level", "pooling"),
    )

    text: str = "text"
    """The column of the text: its name, or its number from 0."""
    label: str = "label"
    """The column of the label: its name, or its number from 0."""
    input_format: str | None = None
    """Format of the files, by a name of `elman predict --input-format`. Default: detected from the file."""
    no_header: bool = False
    """The table has no header line; text and label are column numbers."""
    level: Literal["word", "char", "bpe", "numbers"] = "word"
    """The elements of a sequence: words and punctuation, characters, byte-level BPE pieces, or rows of numbers."""
    vocab_size: int = 4096
    """The vocabulary size of BPE (level bpe only)."""
    max_length: int = 2000
    """Truncate texts after this many tokens."""
    crop_length: int | None = None
    """Train on a random stretch of so many tokens of each longer text, a new one in each pass; 0: on whole texts.
    Predictions read whole texts. Default: 200 where there is too little time for many passes over long texts."""
    pooling: Literal["last", "mean", "max", "attention"] | None = None
    """How to pool the hidden states for the output layer: the last one (of each direction), their mean, their maximum,
    or a sum weighted by attention. Default: attention for long texts, the maximum for others."""
    class_weights: bool = False
    """Weight the loss so that every label counts the same, however rare."""
    hidden_size: int | None = None
    """Units in each layer and direction. Default: the more time there is for the data, the more units: 200, 100 or
    50."""
    learning_rate: float | None = None
    """Peak learning rate of AdamW: reached after the warm-up, then decays linearly to zero. Default: 0.002; 0.004 for
    long texts and for a short training."""
    max_epochs: float = 20
