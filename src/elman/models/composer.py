"""The composer: a language model over musical events. It learns from tunes and writes new ones.

folder of MIDI ──read_tunes──▶ tunes ──EventTokenizer──▶ ids ──LineBatches, transposed──▶ Batch
    ──LanguageNetwork──▶ hidden ──head──┬── loss_sum ──▶ nats per event
                                        └── logits ──decoding.streams──▶ ids ──EventTokenizer──▶ tune
    tune ──▶ MIDI, piano roll, WAV
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from elman.data.batching import IGNORED, LineBatches
from elman.data.corpus import Corpus
from elman.data.lines import Problems
from elman.data.music.events import EventTokenizer
from elman.data.music.playing import Limits, Performance, TuneInProgress, find_limits
from elman.data.music.transposed import Transposed
from elman.data.music.tunes import Tune, read_tunes, shorten, shorten_primer
from elman.data.records import Problem, Surprisals, drop_problems, restore_problems
from elman.data.values.columns import check_present, take_items
from elman.decoding.options import Sampling
from elman.decoding.sampling import draw_key
from elman.decoding.streams import Stream, Writing
from elman.documents import write_json
from elman.draws import drawing
from elman.errors import DataError, ModelError, UsageError
from elman.families.base import Model
from elman.families.next_token import NextTokenModel, NextTokenTask
from elman.families.saved.folder import Texts
from elman.metrics.likelihood import language_metrics
from elman.metrics.music import Texture, texture
from elman.settings.next_token import ComposerSettings
from elman.training.clock import predict_seconds
from elman.training.schedule import check_positive, check_whole
from elman.training.task import Batches

logger = logging.getLogger(__name__)

COMPOSED = 4  # tunes that are composed to compare them with real ones
LONGEST_COMPOSED = 500  # events of each

Music = Any
"""A ``Path`` to a folder, a MIDI or an ABC file; a ``str`` of ABC; or a list of :class:`~elman.data.music.Tune`."""


@dataclass(kw_only=True, eq=False)
class Composer(ComposerSettings, NextTokenModel):
    r"""A recurrent language model over musical events, trained on MIDI or ABC files, that composes tunes.

    Attributes:
        network_: the trained :class:`~elman.families.next_token.LanguageNetwork`.
        tokenizer_: the tokenizer of musical events.
        limits_: what composed performances never exceed, from the training data; None for scores (events "remi") and in
            models of earlier versions, which compose as they did.
        metrics_: figures of the training and of the validation data.
        history_: one dictionary of figures for each validation.
        data_: the names, hashes and sizes of the data.

    Example:
        >>> scale = "X:1\nM:4/4\nL:1/4\nK:C\nCDEF GABc\n\n" * 10
        >>> composer = Composer(hidden_size=16, steps=4, batch_size=2).fit(scale)
        >>> composer.compose(seconds=2, seed=1).seconds <= 2
        True
    """

    compared: ClassVar[tuple[str, ...]] = ("nats_per_event",)

    def check(self) -> None:
        """Raise UsageError if a setting is outside its limits or a name is unknown."""
        super().check()
        check_positive("longest", self.longest)
        check_positive("transpose", self.transpose, or_zero=True)

    # Training.

    def _prepare(
        self,
        X: Music,  # noqa: N803
        y: Any,
        valid: Music | None,
        previous: Model | None,
    ) -> tuple[NextTokenTask, Batches]:
        train_corpus, valid_corpus = self.read_corpora(X, valid, previous)
        batches = self._batches(train_corpus, valid_corpus, self.longest)
        if isinstance(batches, LineBatches) and batches.num_cut:
            logger.warning(
                "%s of %s tunes have more than %s events: they are cut, and what follows is learned as if a tune began "
                "there; raise `longest` to learn them whole",
                *(f"{number:,}" for number in (batches.num_cut, train_corpus.num_sequences, self.longest)),
            )
        self.network_ = self._build()
        return NextTokenTask(self), Transposed(batches, self.tokenizer_, self.transpose, self.seed)

    def read_corpora(
        self,
        X: Music,  # noqa: N803
        valid: Music | None = None,
        previous: Model | None = None,
    ) -> tuple[Corpus, Corpus]:
        """Read the tunes and encode both parts.

        Args:
            X: the tunes, as for :meth:`fit`.
            valid: the tunes to validate on; by default a part of X is held out.
            previous: a model whose tokenizer to reuse.

        Returns:
            The training corpus and the validation corpus.

        Raises:
            DataError: there are no tunes, or only one to split.
        """
        problems = Problems()
        if isinstance(previous, Composer):
            self.tokenizer_: EventTokenizer = previous.tokenizer_
        else:
            self.tokenizer_ = EventTokenizer(self.events)
        tunes = self._read(X, problems)
        held_out = None if valid is None else self._read(valid, problems)
        if held_out is None:
            every = max(round(1 / self.valid_fraction), 2)
            if len(tunes) == 1:
                raise DataError("one tune is not enough: give more, or give others to validate on as `valid`")
            last = len(tunes) if len(tunes) < every else 0  # if there are few, hold out the last
            numbers = {number for number in range(1, len(tunes) + 1) if number % every == 0 or number == last}
            held_out = [tune for number, tune in enumerate(tunes, start=1) if number in numbers]
            train = [tune for number, tune in enumerate(tunes, start=1) if number not in numbers]
        else:
            train = tunes
        problems.close()
        train_corpus, valid_corpus = self._build_corpus(train), self._build_corpus(held_out)
        is_performed = self.events == "midilike"
        self.limits_ = find_limits(self.tokenizer_.names, np.asarray(train_corpus.ids)) if is_performed else None
        self._held_out = texture([tune.notes for tune in held_out])
        self.data_ = {
            "train": _describe(X, train_corpus),
            "valid": _describe(X if valid is None else valid, valid_corpus),
            "left_out": problems.count,
        }
        return train_corpus, valid_corpus

    def _take_tunes(self, music: Music, problems: Problems) -> list[Tune]:
        if isinstance(music, Path | str):
            return read_tunes(music, problems, self.encoding)
        tunes = take_items(music, "X", "tunes")
        for row, tune in enumerate(tunes):
            check_present(tune, f"X[{row}]")
            if not isinstance(tune, Tune):
                raise UsageError(f"X[{row}] is of type {type(tune).__name__}, not a Tune; make one with Tune.read")
        return tunes

    def _read(self, music: Music, problems: Problems) -> list[_Encoded]:
        """Turn tunes into event ids; tunes of a file that cannot be encoded are reported and skipped."""
        tunes: list[_Encoded] = []
        for tune in self._take_tunes(music, problems):
            try:
                tunes.append(_Encoded(self.tokenizer_.encode(tune), tune.notes))
            except DataError as error:
                if not isinstance(music, Path | str):
                    raise
                problems.add_error(tune.name, error)
        if problems.count and not tunes:
            raise DataError(problems.first)
        return tunes

    def _build_corpus(self, tunes: Sequence[_Encoded]) -> Corpus:
        """Join the event ids of tunes into a corpus, each between its begin and end tokens."""
        if not tunes:
            raise DataError("there are no tunes: X is empty")
        begin, end = [self.tokenizer_.begin_id], [self.tokenizer_.end_id]
        sequences = [np.concatenate((begin, tune.events, end)) for tune in tunes]
        offsets = np.cumsum([0, *map(len, sequences)])
        return Corpus(np.concatenate(sequences).astype(np.uint16), offsets.astype(np.int64), 0, 0)

    @property
    def _vocab_size(self) -> int:
        return self.tokenizer_.vocab_size

    @property
    def _default_embedding_size(self) -> int:
        return 128

    @property
    def _independent(self) -> bool:
        return True

    def _pictures(self) -> dict[str, str]:
        from elman.drawing.roll import piano_roll

        return {"roll.svg": piano_roll(self.compose(max_events=400, seed=0).notes)}

    def _texts(self) -> dict[str, str]:
        limits = {} if self.limits_ is None else {"limits.json": write_json(self.limits_._asdict())}
        return {"events.json": self.tokenizer_.to_json(), **limits}

    def _restore_texts(self, texts: Texts) -> None:
        self.tokenizer_ = EventTokenizer.from_json(texts["events.json"])
        self.limits_ = None
        if "limits.json" in texts:
            found = texts.parse("limits.json", dict.fromkeys(Limits._fields, int))
            self.limits_ = Limits(*map(found.__getitem__, Limits._fields))
            if min(self.limits_) < 1:
                raise ModelError("limits.json: a limit is below 1; copy the folder again")

    # Evaluating.

    def evaluate(self, X: Music) -> dict[str, float | int]:  # noqa: N803
        """Evaluate the model on tunes, each as an independent sequence.

        Args:
            X: a ``Path`` to a folder, a MIDI or an ABC file; a ``str`` of ABC; or a list of
                :class:`~elman.data.music.Tune`.

        Returns:
            ``nats_per_event`` and ``perplexity``; ``nats_per_note``, which can be compared between kinds of events;
            ``events`` (the number predicted, the end of each tune included), ``notes`` and ``tunes``; how many notes
            sound at once at most (``polyphony``) and the median and the longest length of a note in seconds
            (``median_note``, ``longest_note``), and the same of some tunes that the model composes
            (``composed_polyphony`` ...); and ``left_out`` (tunes that could not be read).

        Raises:
            UsageError: the model is not fitted, or X is of the wrong type.
            DataError: there are no tunes.
        """
        self._check_fitted()
        problems = Problems()
        tunes = self._read(X, problems)
        problems.close()
        corpus, real = self._build_corpus(tunes), texture([tune.notes for tune in tunes])
        return {**self._evaluate(corpus), **self._compare_texture(corpus, real), "left_out": problems.count}

    def _evaluate(self, corpus: Corpus, num_streams: int = 1) -> dict[str, float | int]:
        nats = sum(losses.double().sum().item() for _, losses in self._losses(corpus, num_streams))
        figures = language_metrics(nats, corpus.num_targets, 0, 0)
        notes = int(self.tokenizer_.begins_note[np.asarray(corpus.ids)].sum())
        return {
            "nats_per_event": figures["nats_per_token"],
            "nats_per_note": nats / max(notes, 1),
            "perplexity": figures["perplexity"],
            "events": corpus.num_targets,
            "notes": notes,
            "tunes": corpus.num_sequences,
        }

    def _compare_texture(self, corpus: Corpus, real: Texture) -> dict[str, float | int]:
        """Return the texture of real tunes and, beside it, that of tunes composed to be as long as those on average."""
        length = min(corpus.num_targets // corpus.num_sequences, LONGEST_COMPOSED)
        composed = texture(
            [
                self.tokenizer_.decode(self._generate_events([], length, Sampling(), seed)).notes
                for seed in range(COMPOSED)
            ]
        )
        return {**real._asdict(), **{f"composed_{name}": figure for name, figure in composed._asdict().items()}}

    def _final_metrics(self) -> dict[str, float | int]:
        return {**super()._final_metrics(), **self._compare_texture(self._valid, self._held_out)}

    def _final_seconds(self) -> float:
        def compose(size: int) -> float:
            self._generate_events([], size, Sampling(), 0)
            return size / (COMPOSED * LONGEST_COMPOSED)

        return super()._final_seconds() + predict_seconds(compose, 32)

    def score(self, X: Music, y: Any = None) -> float:  # noqa: N803
        """Return the negative of nats per event, so that higher is better, as scikit-learn expects; ignore ``y``."""
        self._check_fitted()
        problems = Problems()
        corpus = self._build_corpus(self._read(X, problems))
        problems.close()
        return -self._evaluate(corpus)["nats_per_event"]

    def _sample(self) -> str:
        names = self.tokenizer_.names
        return " ".join(names[number] for number in self._generate_events([], 24, Sampling(), 0))

    def predict(self, X: Music) -> list[list[tuple[str, float]]]:  # noqa: N803
        """Return every event of each tune with its surprisal, ``-log p(event | all events before it)``, in nats.

        Args:
            X: as for :meth:`evaluate`.

        Returns:
            For each tune a list of pairs of an event's name and its surprisal; the last event is the end of the tune.

        Raises:
            UsageError: the model is not fitted, or X is of the wrong type.
            DataError: no tune can be read.
        """
        self._check_fitted()
        tunes = self._read(X, Problems())
        return self._surprisals(tunes) if tunes else []

    def _surprisals(self, tunes: Sequence[_Encoded]) -> list[list[tuple[str, float]]]:
        corpus, names = self._build_corpus(tunes), self.tokenizer_.names
        found = []
        for batch, losses in self._losses(corpus, 1):
            for targets, nats in zip(batch.targets, losses, strict=True):
                kept = targets != IGNORED
                events = [names[number] for number in targets[kept].tolist()]
                found.append(list(zip(events, nats[kept].tolist(), strict=True)))
        return found

    def answer(self, batches: Iterable[Sequence[Tune | Problem]]) -> Iterator[Surprisals | Problem]:
        """Yield the surprisals of the events of tunes as they arrive, in order; see :meth:`predict`.

        Args:
            batches: batches of tunes of any size, with a problem in place of each one that could not be read.

        Yields:
            The events of each tune with their surprisals in nats. Problems are passed through; a tune that cannot be
            encoded becomes one.

        Raises:
            UsageError: the model is not fitted.
            DataError: no tune has events.
        """
        self._check_fitted()
        is_empty, problem = True, None
        for batch in batches:
            items = [item if isinstance(item, Problem) else self._encode_tune(item) for item in batch]
            events = drop_problems(items)
            is_empty = is_empty and not events
            problem = problem or next((item for item in items if isinstance(item, Problem)), None)
            found = self._surprisals(events) if events else []
            yield from restore_problems(items, (Surprisals(*map(list, zip(*tune, strict=True))) for tune in found))
        if is_empty and problem:
            raise DataError(problem.what)

    def _encode_tune(self, tune: Tune) -> _Encoded | Problem:
        try:
            return _Encoded(self.tokenizer_.encode(tune), tune.notes)
        except DataError as error:
            return Problem(tune.name, str(error), is_reported=False)

    # Looking inside.

    @property
    def _token_names(self) -> Sequence[str]:
        return self.tokenizer_.names

    def _read_ids(self, X: Music, most: int | None) -> Iterator[NDArray[np.int64]]:  # noqa: N803
        for tune in self._read(X, Problems()):
            yield np.concatenate(([self.tokenizer_.begin_id], tune.events, [self.tokenizer_.end_id]))

    # Composing.

    def compose(
        self,
        primer: Tune | Path | None = None,
        *,
        seconds: float | None = None,
        bars: int | None = None,
        max_events: int | None = None,
        sampling: Sampling | None = None,
        seed: int | None = None,
    ) -> Tune:
        """Compose a tune.

        Args:
            primer: a tune, or a ``Path`` to its file, to continue; the result begins with it. If it is as long as the
                result is to be, only its beginning is used, half as long as the result.
            seconds: length of the tune in seconds. If neither this nor ``bars`` is given, the network ends the tune.
            bars: length of the tune in bars (events "remi" only).
            max_events: the maximum number of events, whatever the length, before notes that still sound are ended; by
                default 5000, and 500 more for each
                second or bar of the length.
            sampling: how to draw events.
            seed: the same seed gives the same tune; by default every call gives a different one.

        Returns:
            The tune, with the primer at its beginning.

        Raises:
            UsageError: the model is not fitted, or an argument is outside its limits.
            DataError: the primer cannot be read.
        """
        self._check_fitted()
        sampling = sampling or Sampling()
        sampling.check()
        limits = {"bars": bars, "max_events": max_events, "seed": seed}
        check_whole(**{name: number for name, number in limits.items() if number is not None})
        for name, value in (("seconds", seconds), ("bars", bars)):
            if value is not None:
                check_positive(name, value)
        if max_events is None:
            max_events = 5000 + int(500 * (seconds or 0)) + 500 * (bars or 0)
        check_positive("max_events", max_events)
        if bars is not None and self.events != "remi":
            raise UsageError('midilike events have no bars: give `seconds`, or train with `events` "remi"')
        start = [] if primer is None else self._encode_primer(primer, seconds, bars)
        ids = self._generate_events(start, max_events, sampling, seed, seconds=seconds, bars=bars)
        written = self.tokenizer_.decode(ids)
        return written if seconds is None else shorten(written, seconds)

    def _encode_primer(self, primer: Tune | Path, seconds: float | None, bars: int | None) -> list[int]:
        """Return the event ids of a primer, or of its beginning if it is as long as the tune to compose."""
        if not isinstance(primer, Tune | Path | str):
            raise UsageError(f"the primer is of type {type(primer).__name__}; give a Tune, or the Path of its file")
        tune = primer if isinstance(primer, Tune) else read_tunes(primer, Problems(shown=0), self.encoding)[0]
        tune = shorten_primer(tune, seconds)
        if not len(tune.notes):  # it starts with a long rest
            return []
        given: list[int] = self.tokenizer_.encode(tune).tolist()
        if bars is not None and len(places := self.tokenizer_.bars(given)) > bars:
            logger.warning(
                "the primer has %d bars, but the whole tune should have %d: only its first %d bars are used",
                *(len(places), bars, bars // 2),
            )
            given = given[: places[bars // 2]]
        return given

    def _generate_events(
        self,
        given: list[int],
        max_events: int,
        sampling: Sampling,
        seed: int | None,
        seconds: float | None = None,
        bars: int | None = None,
    ) -> list[int]:
        """Generate events after the given ones until a limit is reached; return all, without the end token.

        If the model has limits, only what can be played is generated, and notes that still sound are ended.
        """
        tokenizer, network = self.tokenizer_, self.network_.eval()
        key = draw_key(torch.Generator().seed() if seed is None else seed)
        with torch.inference_mode(), drawing(key):  # a random initial state
            prompt = torch.tensor([[tokenizer.begin_id, *given]])
            _, state = network(prompt.to(next(network.parameters()).device))
        forbidden = [tokenizer.unknown_id, tokenizer.begin_id]
        if seconds is not None or bars is not None:
            forbidden.append(tokenizer.end_id)
        performance = None if self.limits_ is None else Performance(tokenizer.names, self.limits_)
        music = TuneInProgress(tokenizer, given, seconds, bars, performance)
        stream = Stream(
            sampling=sampling,
            key=key,
            max_tokens=max_events,
            stop=music.take,
            forbidden=forbidden,
            forbid=None if performance is None else performance.forbidden,
            seen=given,
        )
        for _ in Writing(network.writing(), state, [stream]):
            pass
        if not music.is_long_enough:
            logger.warning("the tune reached max_events %d before its length; raise `max_events`", max_events)
        written = [number for number in music.ids if number != tokenizer.end_id]
        return written if performance is None else [*written, *performance.release()]


class _Encoded(NamedTuple):
    """A tune as events and as notes."""

    events: NDArray[np.int64]
    notes: NDArray[np.float64]


def _describe(source: Music, corpus: Corpus) -> dict[str, Any]:
    """Describe data for the model card: its source, its size and a hash of its events."""
    name = str(source) if isinstance(source, Path) else "text" if isinstance(source, str) else "values"
    ids = np.asarray(corpus.ids)
    return {
        "files": [name],
        "sha256": sha256(ids.tobytes()).hexdigest(),
        "tunes": corpus.num_sequences,
        "events": corpus.num_targets,
    }
