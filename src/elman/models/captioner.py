"""The captioner: one-to-many. A picture's representation primes a language model, which says what is to be seen.

pictures | features, captions ──read──▶ examples ──split, encode──▶ PictureBatch(pictures, inputs (B,T), targets (B,T))
  ──PictureEncoder, or a layer over the features──▶ (B,N) ──bridge──▶ DecoderState ──Decoder──▶ (B,T,H)
  ──head──▶ logits (B,T,V) ──┬── cross entropy ──▶ nats per token
                             └── beam search ──▶ ids ──▶ Caption
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.data.examples import Examples
from elman.data.formats.captions import has_splits, read_captions
from elman.data.formats.pictures import Pictures
from elman.data.images.batches import PictureBatch, PictureBatches, stack_pictures
from elman.data.images.onnx_encoder import EncodingProgress, encode_pictures, encoder_hash, encoder_size
from elman.data.lines import Problems
from elman.data.records import Caption, Picture, Problem, drop_problems, restore_problems
from elman.data.tokens.tokenizer import Tokenizer
from elman.data.values.columns import check_pairs
from elman.data.values.pictures import take_captions, take_pictures
from elman.decoding.beam import Hypothesis
from elman.decoding.options import Search
from elman.documents import write_json
from elman.errors import DataError, ModelError, UsageError
from elman.families.base import Model
from elman.families.encoder_decoder import EncoderDecoderModel, EncoderDecoderTask, Layout
from elman.families.encoder_decoder_network import EncoderDecoderNetwork
from elman.families.reports import Report
from elman.families.saved.folder import Texts, check_width
from elman.metrics.texts import caption_metrics
from elman.nn.cells import CELLS
from elman.nn.decoder import DecoderState
from elman.nn.inputs.numbers import mean_and_deviation
from elman.nn.inputs.pictures import FeatureEncoder, PictureEncoder
from elman.nn.state import State
from elman.settings.encoder_decoder import CaptionerSettings
from elman.training.schedule import check_positive
from elman.training.task import Batches

Images = Any
"""A ``Path`` names a folder of pictures or an ``.npz`` of features; or arrays, by name or in order."""
Captions = Any
"""A ``Path`` names a file of captions, a ``str`` is its text; or the captions of each picture, by name or in order."""


@dataclass(kw_only=True, eq=False)
class Captioner(CaptionerSettings, EncoderDecoderModel):
    """Says what is to be seen in a picture, or what ready features of one stand for.

    Example:
        >>> dark, bright = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
        >>> captioner = Captioner(picture_size=16, hidden_size=16, embedding_size=16, dropout=0, steps=60)
        >>> captioner.fit([dark, bright] * 10, [["it is night"], ["it is day"]] * 10).predict([bright])
        ['it is day']
    """

    min_readable: ClassVar[float] = 0.0  # of a folder of pictures only a few may have captions
    answer_batch_size: ClassVar[int] = 128

    def check(self) -> None:
        """Raise UsageError where a setting is outside its limits or a name is unknown."""
        super().check()
        for name in ("picture_size", "channels", "feature_size"):
            check_positive(name, getattr(self, name))
        if self.picture_size % 8 and self.encoder is None:
            raise UsageError(f"picture_size is {self.picture_size}; it must be a multiple of 8")
        if self.channels % 8:
            raise UsageError(f"channels is {self.channels}; it must be a multiple of 8")

    # Learning.

    def _prepare(self, X: Images, y: Any, valid: Any, previous: Model | None) -> tuple[EncoderDecoderTask, Batches]:  # noqa: N803
        prepared = super()._prepare(X, y, valid, previous)
        if self._spread is not None and self.encoder is not None and self.encoder.is_file():
            self._encoder_hash = encoder_hash(self.encoder)
        return prepared

    def _learn_texts(self, train: Examples) -> None:
        self.tokenizer_ = self._learn_tokenizer([caption for some in train.labels for caption in some])
        self._encoder_hash = ""
        self._spread: tuple[Tensor, Tensor] | None = None  # of features; None where pictures are looked at
        if train.inputs[0].ndim == 2:
            self._spread = torch.zeros(train.inputs[0].shape[1]), torch.ones(train.inputs[0].shape[1])
            self._check_kind(train.inputs)
            self._spread = mean_and_deviation(train.inputs)

    def _batches(self, examples: Examples) -> PictureBatches:
        self._check_kind(examples.inputs)
        sizes = {"max_length": self.max_length, "batch_tokens": self.batch_tokens, "seed": self.seed}
        return PictureBatches(examples.inputs, examples.labels, self.tokenizer_, **sizes)

    def _build(self) -> CaptionerNetwork:
        front: PictureEncoder | FeatureEncoder
        if self._spread is None:
            front = PictureEncoder(self.picture_size, self.feature_size, self.channels)
        else:
            front = FeatureEncoder(self._spread, self.feature_size)
        return CaptionerNetwork(front, self.tokenizer_.vocab_size, feature_size=self.feature_size, **self._sizes)

    def read(self, X: Images, y: Captions = None, *, valid: Any = None) -> tuple[Examples, Examples]:  # noqa: N803
        """Read what to learn from and what to validate on; a file of captions may have a split for either."""
        if valid is None and isinstance(y, Path | str) and has_splits(y, self.encoding):
            valid = (X, y)
        return super().read(X, y, valid=valid)

    def _read_valid(self, valid: Any) -> Examples:
        if isinstance(valid, tuple) and len(valid) == 2 and isinstance(valid[1], Path | str):
            return self._read(valid[0], valid[1], part="valid")
        return super()._read_valid(valid)

    def _read_test(self, source: Images, labels: Captions = None) -> Examples:
        return self._read(source, labels, part="test")

    def _read(self, source: Images, labels: Captions = None, part: str = "train") -> Examples:
        if labels is None:
            raise UsageError("the captions are missing: fit(pictures, captions) takes some for every picture")
        problems = Problems()
        pictures = Pictures(take_pictures(source), self._pixels)
        if isinstance(labels, Path | str):
            captions = read_captions(labels, problems, self.encoding, set(pictures.names), part)
            where = str(labels) if isinstance(labels, Path) else "captions"
        else:
            captions, where = _take_captions(labels, pictures.names), "captions"
        wanted: dict[str, list[str]] = {}
        for name, some in captions.items():
            known = pictures.find(name)
            if known is None:
                problems.add(where, 1, f"there is no picture {name} in {pictures}; its captions are left out")
            elif some:
                wanted.setdefault(known, []).extend(some)
        if without := [name for name in pictures.names if name not in wanted]:
            others = f", and of {len(without) - 1:,} more" if len(without) > 1 else ""
            are = "they are" if others else "the picture is"
            problems.add(without[0], 1, f"{where} has no caption of it{others}; {are} left out", len(without))
        inputs: dict[str, NDArray[Any]] = {}
        for name, array in self._load_pictures(pictures, list(wanted)):
            if isinstance(array, str):
                problems.add(name, 1, f"{array}; it is left out")
            else:
                inputs[name] = array
        problems.close()
        if not inputs:
            raise DataError(problems.first or "there is no picture with a caption")
        return Examples(list(inputs.values()), [wanted[name] for name in inputs], problems.count)

    @property
    def _pixels(self) -> int:
        """How wide and high pictures are made: as the encoder takes them; where it takes any, as the settings say."""
        return (encoder_size(self.encoder) if self.encoder else None) or self.picture_size

    def _load_pictures(self, pictures: Pictures, names: Sequence[str]) -> Iterator[tuple[str, NDArray[Any] | str]]:
        """Yield pictures, as they are or as the ONNX encoder sees them, or features; or what is wrong with one."""
        progress = EncodingProgress(len(names))
        for start in range(0, len(names), self.answer_batch_size):
            progress.update(start)
            read: dict[str, NDArray[Any] | str] = {}
            for name in names[start : start + self.answer_batch_size]:
                try:
                    read[name] = pictures.read(name)
                except DataError as error:
                    said = str(error)
                    read[name] = said.partition(f"{name}: ")[2] or said  # without the file's name
            arrays = {name: array for name, array in read.items() if not isinstance(array, str)}
            read.update(zip(arrays, self._encode(list(arrays.values()), self.encoder), strict=True))
            yield from read.items()

    def _encode(self, arrays: Sequence[NDArray[Any]], encoder: Path | None) -> list[NDArray[Any]]:
        """Return arrays, pictures among them as the ONNX encoder sees them."""
        seen = list(arrays)
        rows = [row for row, array in enumerate(arrays) if array.ndim == 3] if encoder is not None else []
        if encoder is not None and rows:
            spread = getattr(self, "_spread", None)
            width = None if spread is None else len(spread[0])  # as models have learned before there were regions
            for row, features in zip(rows, encode_pictures(encoder, [arrays[row] for row in rows], width), strict=True):
                seen[row] = features
        return seen

    def _describe_mismatch(self, array: NDArray[Any]) -> str:
        """Say in what an input differs from what the network looks at; nothing where it does not."""
        if self._spread is None:
            return "" if array.ndim == 3 else f"features of {array.shape[1]} numbers, where the model looks at pictures"
        if array.ndim == 3:
            return "a picture, where the model reads features; name what makes them with `encoder`"
        known = len(self._spread[0])
        return "" if array.shape[1] == known else f"features of {array.shape[1]} numbers, where the model reads {known}"

    def _check_kind(self, inputs: Sequence[NDArray[Any]], encoder: Path | None = None) -> None:
        """Raise DataError where an input is not what the network looks at, ModelError where the encoder is another."""
        encoder = encoder or self.encoder
        found = encoder_hash(encoder) if encoder is not None and encoder.is_file() else ""
        if found and self._encoder_hash and found != self._encoder_hash:
            raise ModelError(f"`encoder` {encoder}: not the encoder that the model learned with; name that one")
        unlike = next(filter(None, map(self._describe_mismatch, inputs)), "")
        if unlike:
            raise DataError(unlike)

    def _texts(self) -> dict[str, str]:
        texts = {"tokenizer.json": self.tokenizer_.to_json()}
        if self._spread is not None:
            described = {"number": len(self._spread[0]), "encoder_sha256": self._encoder_hash}
            texts["features.json"] = write_json(described)
        return texts

    def _restore_texts(self, texts: Texts) -> None:
        self.tokenizer_ = Tokenizer.from_json(texts["tokenizer.json"], self.level)
        self._spread, self._encoder_hash = None, ""
        if "features.json" in texts:
            described = texts.parse("features.json", {"number": int, "encoder_sha256?": str})
            size, self._encoder_hash = check_width(described["number"]), described.get("encoder_sha256", "")
            self._spread = torch.zeros(size), torch.ones(size)  # the weights hold the real ones

    # Judging.

    def evaluate(self, X: Images, y: Captions = None, *, search: Search | None = None) -> dict[str, float | int]:  # noqa: N803
        """Judge the model on pictures with captions; ``search`` says how it writes, as the settings do elsewhere.

        Returns:
            ``bleu1`` to ``bleu4`` (0 to 100), ``cider``, ``exact`` (the share of captions that equal one of the
            picture's), ``nats_per_token`` and ``perplexity`` of the captions told, ``tokens``, ``unknown`` (of them
            <unk>), ``cut`` (captions of which only the beginning counts), ``examples`` (pictures) and ``left_out``.

        Raises:
            DataError: the data cannot be read.
        """
        return self.report(X, y, search=search).metrics

    def score(self, X: Images, y: Captions = None) -> float:  # noqa: N803
        """Return CIDEr."""
        return float(self.evaluate(X, y)["cider"])

    def _compare_texts(self, examples: Examples, search: Search | None = None) -> Report:
        written = [texts[0][0] for texts in self._captions(examples.inputs, search=search)]
        return Report(dict(caption_metrics(written, examples.labels)))

    def _sample(self, examples: Examples) -> str:
        ((text, _), *_) = next(self._captions(examples.inputs[:1]))
        return f"{text[:200]}\n({examples.labels[0][0][:200]})"

    # Writing.

    def predict(self, X: Images) -> list[str]:  # noqa: N803
        """Return the best caption of each picture (S, S, 3), or of each array of features (F,) or (R, F).

        Args:
            X: the arrays, in a list or by name; or a ``Path``: a folder, a picture, or an ``.npz`` of features.

        Raises:
            DataError: a picture cannot be read, or is not what the model learned from.
        """
        return [texts[0][0] for texts in self.describe(X)]

    def describe(self, X: Images, search: Search | None = None) -> list[list[tuple[str, float]]]:  # noqa: N803
        """Return the ``n_best`` captions of each picture with their scores; see :meth:`Translator.translate`."""
        self._check_fitted()
        if search is not None:
            search.check()
        return list(self._captions(self._take_inputs(X), search=search))

    def _captions(
        self,
        inputs: Sequence[NDArray[Any]],
        first: int = 0,
        search: Search | None = None,
        encoder: Path | None = None,
    ) -> Iterator[list[tuple[str, float]]]:
        self._check_kind(inputs, encoder)
        for hypotheses in self._generate(inputs, first, search=search):
            yield [(self._text(hypothesis), hypothesis.score) for hypothesis in hypotheses]

    def _text(self, hypothesis: Hypothesis) -> str:
        return self.tokenizer_.decode(list(hypothesis.ids))

    # Looking inside.

    @property
    def _target_tokenizer(self) -> Tokenizer:
        return self.tokenizer_

    def _take_inputs(self, X: Images) -> list[NDArray[Any]]:  # noqa: N803
        pictures = Pictures(take_pictures(X), self._pixels)
        inputs: list[NDArray[Any]] = []
        for name, array in self._load_pictures(pictures, pictures.names):
            if isinstance(array, str):
                raise DataError(f"{name}: {array}")
            inputs.append(array)
        self._check_kind(inputs)
        return inputs

    def _take_answers(self, y: Any, number: int) -> list[str]:
        captions = take_captions(y).values()
        check_pairs(number, len(captions), "pictures", "captions of {:,}")
        return [some[0] if some else "" for some in captions]

    def _lay_out(self, item: NDArray[Any]) -> Layout:
        network = self.network_.eval()
        pictures, lengths = stack_pictures([item])
        side = self.picture_size // 8
        places = [f"row {place // side + 1}, column {place % side + 1}" for place in range(side * side)]
        if lengths is not None:
            places = [f"region {number + 1}" for number in range(len(item))]
        return Layout(
            inputs=pictures[0].to(network.head.weight),
            start=lambda rows: network.encode(rows, None if lengths is None else lengths.expand(len(rows))),
            places=places,
        )

    @property
    def _writes_unknown(self) -> bool:
        return False

    def _lengths(self, inputs: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
        return np.array([len(array) for array in inputs], np.int64)

    def _encode_inputs(self, inputs: Sequence[NDArray[Any]]) -> DecoderState:
        network = self.network_.eval()
        pictures, lengths = stack_pictures(inputs)
        state: DecoderState = network.encode(pictures.to(network.head.weight.device), lengths)
        return state

    def answer(
        self,
        batches: Iterable[Sequence[Picture | Problem]],
        *,
        search: Search | None = None,
        encoder: Path | None = None,
    ) -> Iterator[Caption | Problem]:
        """Describe pictures as they come, in order.

        Args:
            batches: pictures, as many together as are there; a problem stays in its place, and stands in place of a
                picture that is not of the kind that the model learned from.
            search: how to search, or draw; as the settings say where not given.
            encoder: the ONNX encoder, where its file lies elsewhere than the settings say.
        """
        self._check_fitted()
        if search is not None:
            search.check()
        encoder = encoder or self.encoder
        number = 0  # of the first item, from which what is drawn depends
        for batch in batches:
            items = list(restore_problems(batch, self._prepare_pictures(drop_problems(batch), encoder)))
            for _, together in groupby(items, key=lambda item: isinstance(item, Problem)):
                some = list(together)
                pictures = drop_problems(some)
                texts = self._captions([picture.array for picture in pictures], number, search, encoder)
                yield from restore_problems(some, map(Caption, (picture.name for picture in pictures), texts))
                number += len(some)

    def _prepare_pictures(self, pictures: Sequence[Picture], encoder: Path | None) -> Iterator[Picture | Problem]:
        """Yield pictures as the network takes them, or why it cannot take one."""
        for picture, array in zip(pictures, self._encode([one.array for one in pictures], encoder), strict=True):
            unlike = self._describe_mismatch(array)
            yield Problem(picture.name, unlike, is_reported=False) if unlike else Picture(picture.name, array)


class CaptionerNetwork(EncoderDecoderNetwork):
    """What looks at a picture before the decoder: pictures and captions to logits.

    Args:
        front: what looks at a picture.
        vocab_size: V.
        feature_size: N, of what it says of the picture as a whole.
        cell: of the decoder, as the two that follow.
        hidden_size: H.
        num_layers: L.
        decoder: what else :class:`~elman.families.encoder_decoder_network.EncoderDecoderNetwork` takes.
    """

    def __init__(
        self,
        front: PictureEncoder | FeatureEncoder,
        vocab_size: int,
        *,
        feature_size: int,
        cell: str,
        hidden_size: int,
        num_layers: int,
        **decoder: Any,
    ) -> None:
        sizes: dict[str, Any] = {"cell": cell, "hidden_size": hidden_size, "num_layers": num_layers}
        super().__init__(vocab_size, memory_size=front.place_size, **sizes, **decoder)
        self.front = front
        self.layers = num_layers
        self.parts = CELLS[cell].state
        self.bridge = nn.ModuleList(nn.Linear(feature_size, num_layers * hidden_size) for _ in self.parts)

    def encode_batch(self, batch: PictureBatch) -> DecoderState:
        """Look at the pictures of a batch: each once, however many captions it has there."""
        return self.encode(batch.pictures, batch.lengths).select(batch.rows, batch.rows)

    def encode(self, pictures: Tensor, lengths: Tensor | None) -> DecoderState:
        """Look at pictures (B, S, S, 3), or features (B, R, F) of so many regions (B,); return what to begin from."""
        places, whole = self.front(pictures, lengths)  # (B, P, C), (B, N)
        whole = self.dropout(whole[:, None])[:, 0]
        parts = [bridge(whole).unflatten(1, (self.layers, -1)).transpose(0, 1) for bridge in self.bridge]  # (L, B, H)
        state = State(zip(self.parts, (torch.tanh(part).contiguous() for part in parts), strict=True))
        return self.decoder.start(state, self.dropout(places), lengths)


def _take_captions(captions: Any, names: Sequence[str]) -> dict[str, list[str]]:
    """Take the captions of each picture as Python has them, by name or in order; return them by name."""
    found = take_captions(captions)
    if isinstance(captions, Mapping):
        return {str(name): texts for name, texts in found.items()}
    check_pairs(len(names), len(found), "pictures", "captions of {:,}")
    return dict(zip(names, found.values(), strict=True))
