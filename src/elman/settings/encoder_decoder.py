"""The settings of encoder-decoder models: the translator and the captioner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from elman.settings.base import LIMITS, ExampleSettings


@dataclass(kw_only=True, eq=False)
class EncoderDecoderSettings(ExampleSettings):
    """The decoder and its search."""

    limits: ClassVar[Mapping[str, float]] = {**LIMITS, "max_length": 10_000}
    free_to_change: ClassVar[tuple[str, ...]] = ("threads", "beam_size", "length_penalty", "n_best", "temperature")

    hidden_size: int = 256
    embedding_size: int = 256
    """Size of a token's embedding."""
    level: Literal["bpe", "word", "char"] = "bpe"
    """The unit of a token: byte-level BPE pieces, words, or characters."""
    vocab_size: int | None = 4096
    """The largest vocabulary."""
    min_count: int = 2
    """Words that occur less often are <unk> (level word only)."""
    max_length: int = 100
    """The most tokens of a target in training and of a text that is written; longer targets are truncated."""
    tie_weights: bool = True
    """Use the target embedding as the matrix of the output layer too."""
    label_smoothing: float = 0.1
    """Share of each target's probability that training spreads over all tokens."""
    learning_rate: float = 3e-3
    max_epochs: float = 60
    beam_size: int = 5
    """Hypotheses to keep at each step of the beam search; 1 takes the most likely token each time."""
    length_penalty: float = 1.0
    """Divide log-probabilities by the length to this power to compare hypotheses; 0 prefers short ones."""
    n_best: int = 1
    """How many texts to write for each input, best first."""
    temperature: float = 0.0
    """Above 0: sample tokens, with logits divided by this, instead of searching."""


@dataclass(kw_only=True, eq=False)
class TranslatorSettings(EncoderDecoderSettings):
    """The data and the encoder of a translator."""

    task: ClassVar[str] = "translator"
    planned: ClassVar[tuple[str, ...]] = ("vocab_size", "batch_tokens")
    architecture: ClassVar[tuple[str, ...]] = (
        *("cell", "hidden_size", "num_layers", "embedding_size", "bidirectional", "merge", "attention"),
        *("input_feeding", "level", "shared_vocabulary", "tie_weights"),
    )

    source: str = "source"
    """The column of the source in a table: its name, or its number from 0."""
    target: str = "target"
    """The column of the target in a table: its name, or its number from 0."""
    input_format: str | None = None
    """Format of the files, by a name of `elman predict --input-format`. Default: detected from the file."""
    no_header: bool = False
    """The table has no header line; source and target are column numbers. Detected for a TSV with two columns."""
    bidirectional: bool = True
    """Let the encoder read in both directions."""
    merge: Literal["concat", "sum", "product"] = "concat"
    """How to merge the outputs of the encoder's two directions."""
    attention: Literal["bahdanau", "luong", "none"] = "luong"
    """How the decoder attends to the source; none: it knows only the encoder's final state."""
    input_feeding: bool = False
    """Feed the attentional output of each step to the next (luong only; bahdanau always does something similar)."""
    shared_vocabulary: bool = True
    """Use one vocabulary and one embedding for sources and targets."""
    source_length: int = 400
    """Truncate sources after this many tokens."""
    vocab_size: int | None = None
    """The largest vocabulary. Default: a byte pair for every 450 characters of the training texts, but from 1,000 to
    8,000; 8,000 words."""


@dataclass(kw_only=True, eq=False)
class CaptionerSettings(EncoderDecoderSettings):
    """The encoder of a captioner."""

    task: ClassVar[str] = "captioner"
    architecture: ClassVar[tuple[str, ...]] = (
        *("cell", "hidden_size", "num_layers", "embedding_size", "picture_size", "feature_size", "channels"),
        *("attention", "level", "tie_weights"),
    )
    free_to_change: ClassVar[tuple[str, ...]] = (*EncoderDecoderSettings.free_to_change, "encoder")

    level: Literal["bpe", "word", "char"] = "word"
    vocab_size: int = 4096
    attention: Literal["bahdanau", "luong", "none"] = "luong"
    """How the decoder attends to the places of a picture, or to the regions of its features; none: it knows only one
    vector for the whole picture."""
    picture_size: int = 48
    """Width and height in pixels to which pictures are resized: a multiple of 8."""
    channels: int = 24
    """Channels of the first convolution; the later ones have up to four times as many."""
    feature_size: int = 256
    """Size of the vector for a whole picture, or for its precomputed features, which initializes the decoder."""
    encoder: Path | None = None
    """Encode pictures with this ONNX model, (N, 3, S, S) -> (N, F), or for R regions (N, R, F) or
    (N, F, height, width), instead of a network that is trained with the decoder."""
    dropout: float = 0.2
    label_smoothing: float = 0.0
    learning_rate: float = 1e-3
    batch_tokens: int | None = None
    """Tokens in a batch of captions of similar length, including padding; the captions of a picture stay together.
    Default: follows from the number and the length of the captions."""
    max_length: int = 60
