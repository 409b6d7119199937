"""The captioner: one-to-many. The representation of a picture starts a decoder, which generates a caption.

pictures | features, captions ──read──▶ examples ──split, encode──▶ PictureBatch(pictures, inputs (B,T), targets (B,T))
  ──PictureEncoder, or a layer over the features──▶ (B,N) ──bridge──▶ DecoderState ──Decoder──▶ (B,T,H)
  ──head──┬── loss_sum ──▶ nats per token
          └── logits (R,V) ──beam search──▶ ids ──▶ Caption
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

from elman.counting.copies import pick_typical
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
from elman.families.encoder_decoder import EncoderDecoderModel, EncoderDecoderTask, UnrolledEncoder
from elman.families.encoder_decoder_network import EncoderDecoderNetwork
from elman.families.reports import Report
from elman.families.saved.folder import Texts, check_width
from elman.metrics.captions import SIGNATURES, caption_metrics
from elman.nn.cells import CELLS
from elman.nn.decoder import DecoderState
from elman.nn.inputs.numbers import mean_and_deviation
from elman.nn.inputs.pictures import FeatureEncoder, PictureEncoder
from elman.nn.state import PublicState, State
from elman.settings.encoder_decoder import CaptionerSettings
from elman.training.schedule import check_positive
from elman.training.task import Batches

PICTURES_PER_SECOND = 400  # with five captions each, for which the metrics of a baseline are computed

Images = Any
"""A ``Path`` to a folder of pictures, a picture or an ``.npz`` file of features; or arrays, by name or in order."""
Captions = Any
"""A ``Path`` to a file of captions, a ``str`` with its content; or captions of each picture, by name or in order."""


@dataclass(kw_only=True, eq=False)
class Captioner(CaptionerSettings, EncoderDecoderModel):
    """A recurrent captioner: it describes pictures, given as pixels or as features computed beforehand.

    A picture is a uint8 array (S, S, 3). Features are a float32 array (F,) or, for R regions, (R, F); with ``encoder``,
    an ONNX model computes them from the pictures.

    Attributes:
        network_: the trained :class:`CaptionerNetwork`.
        tokenizer_: the tokenizer of the captions.
        metrics_: figures of the training and of the validation data.
        history_: one dictionary of figures for each validation.
        data_: the names, hashes and sizes of the data.

    Example:
        >>> dark, bright = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
        >>> captioner = Captioner(picture_size=16, hidden_size=16, embedding_size=16, dropout=0, steps=60)
        >>> captioner.fit([dark, bright] * 10, [["it is night"], ["it is day"]] * 10).predict([bright])
        ['it is day']
    """

    compared: ClassVar[tuple[str, ...]] = ("cider", "bleu4")
    min_readable: ClassVar[float] = 0.0  # often only a few pictures of a folder have captions
    answer_batch_size: ClassVar[int] = 128
    _noun: ClassVar[str] = "pictures"

    def check(self) -> None:
        """Raise UsageError if a setting is outside its limits or a name is unknown."""
        super().check()
        for name in ("picture_size", "channels", "feature_size"):
            check_positive(name, getattr(self, name))
        if self.picture_size % 8 and self.encoder is None:
            raise UsageError(f"picture_size is {self.picture_size}; it must be a multiple of 8")
        if self.channels % 8:
            raise UsageError(f"channels is {self.channels}; it must be a multiple of 8")

    # Training.

    def _prepare(self, X: Images, y: Any, valid: Any, previous: Model | None) -> tuple[EncoderDecoderTask, Batches]:  # noqa: N803
        prepared = super()._prepare(X, y, valid, previous)
        if self._spread is not None and self.encoder is not None and self.encoder.is_file():
            self._encoder_hash = encoder_hash(self.encoder)
        return prepared

    @property
    def _vocabulary(self) -> int:
        return self.tokenizer_.vocab_size

    def _learn_texts(self, train: Examples) -> None:
        self.tokenizer_ = self._learn_tokenizer([caption for some in train.labels for caption in some])
        self._encoder_hash = ""
        self._spread: tuple[Tensor, Tensor] | None = None  # mean and deviation of features; None for pictures
        if train.inputs[0].ndim == 2:
            self._spread = torch.zeros(train.inputs[0].shape[1]), torch.ones(train.inputs[0].shape[1])
            self._check_kind(train.inputs)
            self._spread = mean_and_deviation(train.inputs)

    def _encode_examples(self, examples: Examples) -> PictureBatches:
        self._check_kind(examples.inputs)
        sizes = {"max_length": self.max_length, "seed": self.seed}
        return PictureBatches(examples.inputs, examples.labels, self.tokenizer_, **sizes)

    def _build(self) -> CaptionerNetwork:
        front: PictureEncoder | FeatureEncoder
        if self._spread is None:
            front = PictureEncoder(self.picture_size, self.feature_size, self.channels)
        else:
            front = FeatureEncoder(self._spread, self.feature_size)
        return CaptionerNetwork(front, self.tokenizer_.vocab_size, feature_size=self.feature_size, **self._sizes)

    def read(self, X: Images, y: Captions = None, *, valid: Any = None) -> tuple[Examples, Examples]:  # noqa: N803
        """Read the training and validation examples; a file of captions may assign its pictures to either split.

        Args:
            X: the pictures or features.
            y: their captions.
            valid: a pair (X, y) to validate on; by default the validation split of the file of captions or, without
                one, a part of the examples.
        """
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
            raise UsageError("the captions are missing: give one or more for every picture, fit(pictures, captions)")
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
                problems.add(where, 1, f"{pictures} has no picture {name}; its captions are skipped")
            elif some:
                wanted.setdefault(known, []).extend(some)
        if without := [name for name in pictures.names if name not in wanted]:
            others = f" or for {len(without) - 1:,} more" if len(without) > 1 else ""
            are = "they are" if others else "the picture is"
            problems.add(without[0], 1, f"{where} has no caption for it{others}; {are} skipped", len(without))
        inputs: dict[str, NDArray[Any]] = {}
        for name, array in self._load_pictures(pictures, list(wanted)):
            if isinstance(array, str):
                problems.add(name, 1, f"{array}; it is skipped")
            else:
                inputs[name] = array
        problems.close()
        if not inputs:
            raise DataError(problems.first or "there are no pictures with captions")
        return Examples(list(inputs.values()), [wanted[name] for name in inputs], problems.count)

    @property
    def _pixels(self) -> int:
        """The width and height that pictures are resized to: the encoder's input size or else ``picture_size``."""
        return (encoder_size(self.encoder) if self.encoder else None) or self.picture_size

    def _load_pictures(self, pictures: Pictures, names: Sequence[str]) -> Iterator[tuple[str, NDArray[Any] | str]]:
        """Yield each picture as pixels or features, encoded by the ONNX encoder if there is one; or its problem."""
        progress = EncodingProgress(len(names))
        for start in range(0, len(names), self.answer_batch_size):
            progress.update(start)
            read: dict[str, NDArray[Any] | str] = {}
            for name in names[start : start + self.answer_batch_size]:
                try:
                    read[name] = pictures.read(name)
                except DataError as error:
                    said = str(error)
                    read[name] = said.partition(f"{name}: ")[2] or said  # the caller adds the name
            arrays = {name: array for name, array in read.items() if not isinstance(array, str)}
            read.update(zip(arrays, self._encode(list(arrays.values()), self.encoder), strict=True))
            yield from read.items()

    def _encode(self, arrays: Sequence[NDArray[Any]], encoder: Path | None) -> list[NDArray[Any]]:
        """Return arrays in which the ONNX encoder, if there is one, has turned pictures into features."""
        encoded = list(arrays)
        rows = [row for row, array in enumerate(arrays) if array.ndim == 3] if encoder is not None else []
        if encoder is not None and rows:
            spread = getattr(self, "_spread", None)
            width = None if spread is None else len(spread[0])  # older models read all regions as one row of features
            for row, features in zip(rows, encode_pictures(encoder, [arrays[row] for row in rows], width), strict=True):
                encoded[row] = features
        return encoded

    def _describe_mismatch(self, array: NDArray[Any]) -> str:
        """Return how an input differs from what the network reads, or an empty string if it fits."""
        if self._spread is None:
            return "" if array.ndim == 3 else f"features of {array.shape[1]} numbers, but the model reads pictures"
        if array.ndim == 3:
            return "a picture, but the model reads features; give the ONNX model that computes them as `encoder`"
        known = len(self._spread[0])
        return "" if array.shape[1] == known else f"features of {array.shape[1]} numbers, but the model reads {known}"

    def _check_kind(self, inputs: Sequence[NDArray[Any]], encoder: Path | None = None) -> None:
        """Raise DataError if an input does not fit the network, ModelError if the encoder has changed."""
        encoder = encoder or self.encoder
        found = encoder_hash(encoder) if encoder is not None and encoder.is_file() else ""
        if found and self._encoder_hash and found != self._encoder_hash:
            raise ModelError(f"`encoder` {encoder}: not the encoder that the model was trained with; give that one")
        mismatch = next(filter(None, map(self._describe_mismatch, inputs)), "")
        if mismatch:
            raise DataError(mismatch)

    def _texts(self) -> dict[str, str]:
        texts = {"tokenizer.json": self.tokenizer_.to_json()}
        if self._spread is not None:
            features = {"number": len(self._spread[0]), "encoder_sha256": self._encoder_hash}
            texts["features.json"] = write_json(features)
        return texts

    def _restore_texts(self, texts: Texts) -> None:
        self.tokenizer_ = Tokenizer.from_json(texts["tokenizer.json"], self.level)
        self._spread, self._encoder_hash = None, ""
        if "features.json" in texts:
            features = texts.parse("features.json", {"number": int, "encoder_sha256?": str})
            size, self._encoder_hash = check_width(features["number"]), features.get("encoder_sha256", "")
            self._spread = torch.zeros(size), torch.ones(size)  # the weights hold the values

    # Evaluating.

    def evaluate(self, X: Images, y: Captions = None, *, search: Search | None = None) -> dict[str, float | int]:  # noqa: N803
        """Evaluate the model on pictures with captions.

        Args:
            X: the pictures or features: arrays, a folder or an ``.npz`` file.
            y: the captions: a file, or one or more captions for each picture, by name or in order.
            search: options of the beam search or the sampling; the model's settings by default.

        Returns:
            Of the best captions ``bleu1`` to ``bleu4`` (0 to 100), ``cider`` and ``cider_d`` (0 to 10), all on words as
            COCO's evaluation splits them, and ``exact`` (the share that equals one of the true captions); with teacher
            forcing ``nats_per_token`` and ``perplexity`` of the true captions, ``tokens`` and ``unknown`` (tokens that
            are ``<unk>``); ``cut`` (captions cut to ``max_length``), ``examples`` (pictures) and ``left_out`` (pictures
            or captions that were skipped).

        Raises:
            UsageError: the model is not fitted, or an argument is of the wrong type or outside its limits.
            DataError: the data cannot be read.
            ModelError: ``encoder`` is not the one that the model was trained with.
        """
        return self.report(X, y, search=search).metrics

    def score(self, X: Images, y: Captions = None) -> float:  # noqa: N803
        """Return the CIDEr of :meth:`evaluate`."""
        return float(self.evaluate(X, y)["cider"])

    def _compare_texts(self, examples: Examples, search: Search | None = None) -> Report:
        written = [texts[0][0] for texts in self._captions(examples.inputs, search=search)]
        return Report(dict(caption_metrics(written, examples.labels)), signatures=SIGNATURES, written=written)

    def _evaluate_baselines(self, seconds: float) -> Iterator[tuple[str, dict[str, float | int]]]:
        judged = self._judged
        if len(judged.inputs) <= PICTURES_PER_SECOND * seconds:
            caption = pick_typical(caption for some in self._train.labels for caption in some)
            yield "constant_caption", dict(caption_metrics([caption] * len(judged.inputs), judged.labels))

    def _sample(self, examples: Examples) -> str:
        ((text, _), *_) = next(self._captions(examples.inputs[:1]))
        return f"{text[:200]}\n({examples.labels[0][0][:200]})"

    # Describing.

    def predict(self, X: Images) -> list[str]:  # noqa: N803
        """Return the best caption of each picture (S, S, 3), or of each array of features (F,) or (R, F).

        Args:
            X: arrays in a list or a dictionary; or a ``Path`` to a folder, a picture, or an ``.npz`` file of features.

        Returns:
            A caption for each picture, in order.

        Raises:
            UsageError: the model is not fitted, or X is of the wrong type.
            DataError: a picture cannot be read, or is not of the kind that the model was trained on.
            ModelError: ``encoder`` is not the one that the model was trained with.
        """
        return [texts[0][0] for texts in self.describe(X)]

    def encode(self, X: Images) -> State:  # noqa: N803
        """Return the state that the decoder starts from, each part (num_layers, N, hidden_size), for N pictures.

        Args:
            X: as for :meth:`predict`, with the same errors.

        Raises:
            UsageError: there is no picture.

        Example:
            >>> dark, bright = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
            >>> captioner = Captioner(picture_size=16, hidden_size=16, embedding_size=16, dropout=0, steps=2)
            >>> state = captioner.fit([dark, bright] * 10, [["night"], ["day"]] * 10).encode([dark, bright])
            >>> middle = State.mean([state.select_rows(torch.tensor([row])) for row in (0, 1)])
            >>> len(captioner.describe([dark], state=middle))
            1
        """
        self._check_fitted()
        return self._encode_states(self._take_inputs(X), "pictures")

    def describe(
        self,
        X: Images,  # noqa: N803
        search: Search | None = None,
        state: State | PublicState | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Return the ``n_best`` captions of each picture with their scores, best first.

        Args:
            X: as for :meth:`predict`.
            search: options of the beam search or the sampling; the model's settings by default.
            state: the state that the decoder starts from, of one row for all pictures or one for each, as returned by
                :meth:`encode`; it is never modified. By default it is the encoder's. Attention looks at the pictures.

        Returns:
            For each picture a list of pairs of a caption and its score. The score is the log-probability in nats
            divided by the length, in tokens, to the power of ``length_penalty``.

        Raises:
            UsageError: the model is not fitted, X is of the wrong type, or an option is outside its limits.
            DataError: a picture cannot be read, or is not of the kind that the model was trained on.
            ModelError: ``encoder`` is not the one that the model was trained with.
        """
        self._check_fitted()
        if search is not None:
            search.check()
        inputs = self._take_inputs(X)
        return list(self._captions(inputs, search=search, hidden=self._take_state(state, len(inputs))))

    def _captions(
        self,
        inputs: Sequence[NDArray[Any]],
        first: int = 0,
        search: Search | None = None,
        encoder: Path | None = None,
        hidden: State | None = None,
    ) -> Iterator[list[tuple[str, float]]]:
        self._check_kind(inputs, encoder)
        for hypotheses in self._generate(inputs, first, search=search, hidden=hidden):
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

    def _unroll_encoder(self, item: NDArray[Any]) -> UnrolledEncoder:
        network = self.network_.eval()
        pictures, lengths = stack_pictures([item])
        side = self.picture_size // 8
        places = [f"row {place // side + 1}, column {place % side + 1}" for place in range(side * side)]
        if lengths is not None:
            places = [f"region {number + 1}" for number in range(len(item))]
        return UnrolledEncoder(
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
        """Describe pictures as they arrive, in order.

        Args:
            batches: batches of pictures of any size, with a problem in place of each one that could not be read.
            search: options of the beam search or the sampling; the model's settings by default.
            encoder: path of the ONNX encoder, if it has moved since training.

        Yields:
            The captions of each picture, best first. Problems are passed through; a picture that is not of the kind
            that the model was trained on becomes one.

        Raises:
            UsageError: the model is not fitted, or an option is outside its limits.
            ModelError: ``encoder`` is not the one that the model was trained with.
        """
        self._check_fitted()
        if search is not None:
            search.check()
        encoder = encoder or self.encoder
        number = 0  # of the first item: samples depend on the seed and the number
        for batch in batches:
            items = list(restore_problems(batch, self._prepare_pictures(drop_problems(batch), encoder)))
            for _, together in groupby(items, key=lambda item: isinstance(item, Problem)):
                some = list(together)
                pictures = drop_problems(some)
                texts = self._captions([picture.array for picture in pictures], number, search, encoder)
                yield from restore_problems(some, map(Caption, (picture.name for picture in pictures), texts))
                number += len(some)

    def _prepare_pictures(self, pictures: Sequence[Picture], encoder: Path | None) -> Iterator[Picture | Problem]:
        """Yield each picture as the network reads it, or a problem if it does not fit."""
        for picture, array in zip(pictures, self._encode([one.array for one in pictures], encoder), strict=True):
            mismatch = self._describe_mismatch(array)
            yield Problem(picture.name, mismatch, is_reported=False) if mismatch else Picture(picture.name, array)


class CaptionerNetwork(EncoderDecoderNetwork):
    """A picture encoder and a recurrent decoder, from pictures and captions to logits.

    Args:
        front: the encoder of pictures or features.
        vocab_size: V, size of the vocabulary.
        feature_size: N, size of the encoder's representation of the whole picture.
        cell: the decoder's cell.
        hidden_size: H, the decoder's hidden size.
        num_layers: L, the decoder's number of layers.
        decoder: further arguments of :class:`~elman.families.encoder_decoder_network.EncoderDecoderNetwork`.
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
        """Encode each picture of a batch once, whatever its number of captions; return the decoder's first state."""
        return self.encode(batch.pictures, batch.lengths).select(batch.rows, batch.rows)

    def encode(self, pictures: Tensor, lengths: Tensor | None) -> DecoderState:
        """Encode pictures (B, S, S, 3), or features (B, R, F) with lengths (B,); return the decoder's first state."""
        places, whole = self.front(pictures, lengths)  # (B, P, C), (B, N)
        whole = self.dropout(whole[:, None])[:, 0]
        parts = [bridge(whole).unflatten(1, (self.layers, -1)).transpose(0, 1) for bridge in self.bridge]  # (L, B, H)
        state = State(zip(self.parts, (torch.tanh(part).contiguous() for part in parts), strict=True))
        return self.decoder.start(state, self.dropout(places), lengths)


def _take_captions(captions: Any, names: Sequence[str]) -> dict[str, list[str]]:
    """Take the captions of each picture, given by name or in order as Python values; return them by name."""
    found = take_captions(captions)
    if isinstance(captions, Mapping):
        return {str(name): texts for name, texts in found.items()}
    check_pairs(len(names), len(found), "pictures", "captions of {:,}")
    return dict(zip(names, found.values(), strict=True))
