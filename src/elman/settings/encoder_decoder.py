"""The settings of what reads an input and writes a text about it: the translator and the captioner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from elman.settings.base import LIMITS, ExampleSettings


@dataclass(kw_only=True, eq=False)
class EncoderDecoderSettings(ExampleSettings):
    """The decoder, and how it searches."""

    limits: ClassVar[Mapping[str, float]] = {**LIMITS, "max_length": 10_000}
    free_to_change: ClassVar[tuple[str, ...]] = ("threads", "beam_size", "length_penalty", "n_best", "temperature")

    embedding_size: int = 256
    """Length of a token's vector."""
    level: Literal["bpe", "word", "char"] = "bpe"
    """What is written at each step: pieces of words found by byte-level BPE, words, or characters."""
    vocab_size: int = 4096
    """The most tokens of a vocabulary."""
    min_count: int = 2
    """Words rarer than this are <unk> (level word only)."""
    max_length: int = 100
    """The most tokens of a text that is learned or written; of longer ones the beginning is learned."""
    tie_weights: bool = True
    """Let the written tokens' embedding serve as the output layer's matrix too."""
    label_smoothing: float = 0.1
    """Share of each target's probability that training spreads over all tokens."""
    learning_rate: float = 3e-3
    beam_size: int = 5
    """Texts that are kept at every step of the search when writing; 1 takes the likeliest token each time."""
    length_penalty: float = 1.0
    """Log-probabilities are divided by the length to this power when texts are compared; 0 prefers short ones."""
    n_best: int = 1
    """How many texts to write about each input, the best first."""
    temperature: float = 0.0
    """Above 0: draw the tokens, their logits divided by this, in place of searching."""


@dataclass(kw_only=True, eq=False)
class TranslatorSettings(EncoderDecoderSettings):
    """Where sources and targets are, and how sources are read."""

    task: ClassVar[str] = "translator"
    architecture: ClassVar[tuple[str, ...]] = (
        *("cell", "hidden_size", "num_layers", "embedding_size", "bidirectional", "merge", "attention"),
        *("input_feeding", "level", "shared_vocabulary", "tie_weights"),
    )

    source: str = "source"
    """The column of the source in a table: its name, or its number from 0."""
    target: str = "target"
    """The column of the target in a table: its name, or its number from 0."""
    input_format: str | None = None
    """What files are written in, by a name of `elman predict --input-format`; found out from a file where not given."""
    no_header: bool = False
    """The table has no line of names; source and target are numbers. A TSV of two columns is known by itself."""
    bidirectional: bool = True
    """Let the encoder read from both sides."""
    merge: Literal["concat", "sum", "product"] = "concat"
    """How the outputs of the encoder's two directions become one."""
    attention: Literal["bahdanau", "luong", "none"] = "luong"
    """How the decoder looks back at the source; none: all that it knows is the state that it is primed with."""
    input_feeding: bool = False
    """Tell each step what the attention of the step before gave (luong only; bahdanau does so in any case)."""
    shared_vocabulary: bool = True
    """Learn one vocabulary, and one embedding, for sources and targets."""
    source_length: int = 400
    """Of longer sources only the first so many tokens are read."""
    vocab_size: int = 8000


@dataclass(kw_only=True, eq=False)
class CaptionerSettings(EncoderDecoderSettings):
    """How pictures are looked at."""

    task: ClassVar[str] = "captioner"
    architecture: ClassVar[tuple[str, ...]] = (
        *("cell", "hidden_size", "num_layers", "embedding_size", "picture_size", "feature_size", "channels"),
        *("attention", "level", "tie_weights"),
    )
    free_to_change: ClassVar[tuple[str, ...]] = (*EncoderDecoderSettings.free_to_change, "encoder")

    level: Literal["bpe", "word", "char"] = "word"
    attention: Literal["bahdanau", "luong", "none"] = "luong"
    """How the decoder looks back at the places of a picture, or the regions that features tell about; none: all that
    it knows is the state that it is primed with."""
    picture_size: int = 48
    """Pictures are made so many pixels wide and high before they are looked at: a multiple of 8."""
    channels: int = 24
    """Maps that the first convolution makes of a picture; the later ones make up to four times as many."""
    feature_size: int = 256
    """Length of the vector that a picture as a whole, or its ready features, becomes: it primes the decoder."""
    encoder: Path | None = None
    """Let this ONNX model turn pictures into features (N, 3, S, S) -> (N, F) or, of R regions, (N, R, F) or
    (N, F, height, width), in place of a network trained along."""
    dropout: float = 0.2
    label_smoothing: float = 0.0
    learning_rate: float = 1e-3
    batch_tokens: int = 1000
    """Tokens in a batch of captions of about equal length, padding included; a picture's captions stay together."""
    max_length: int = 60
