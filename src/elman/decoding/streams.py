"""Writing many streams at once: draw a token for each, let the network read it, and so on until each has ended.

state ──begin──▶ logits (N, V) ──write(uniforms)──▶ ids (N, T), logits, state ──▶ each stream's ids

A stream has options, a seed and an end of its own, and is written the same whichever streams are beside it: what it
draws depends on its key and its position only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from elman.decoding.options import Sampling
from elman.decoding.sampling import draw, lay_out_options, probabilities, uniforms
from elman.kernels.checks import CPU
from elman.kernels.generate import Writer
from elman.nn.state import State

MAX_TOKENS_PER_CALL = 256  # tokens that the compiled writer writes before they are handed out

AnyState = TypeVar("AnyState")
Stop = Callable[[Sequence[int]], int | None]
"""Takes the new ids of its stream; returns how many of them were written when the stream ended, or None."""


def stop_at(token_id: int) -> Stop:
    """End at a token, which is the last one written."""
    return lambda ids: ids.index(token_id) + 1 if token_id in ids else None


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What one stream writes, and until when."""

    sampling: Sampling
    """How its tokens are drawn."""
    key: int
    """What its draws depend on, see :func:`~elman.decoding.sampling.draw_key`."""
    position: int = 0
    """How many draws were made with this key before; going on at n draws what would have been drawn without a break."""
    max_tokens: int
    """It ends after so many tokens."""
    stop: Stop = lambda ids: None
    """It ends earlier where this says so."""
    forbidden: Sequence[int] = ()
    """Tokens that are never drawn."""
    seen: Sequence[int] = ()
    """Tokens that the repetition penalty meets from the beginning."""


@dataclass(frozen=True)
class Draws:
    """What is drawn in one stretch of N streams."""

    uniforms: Tensor
    """(N, T) float64."""
    options: Tensor
    """(N, 5) float64, see :func:`~elman.decoding.sampling.lay_out_options`."""
    forbidden: Tensor | None
    """(N, V) booleans."""

    def select(self, row: int, count: int) -> Draws:
        """Return one stream's draws, so many of them."""
        forbidden = None if self.forbidden is None else self.forbidden[[row]]
        return Draws(self.uniforms[[row], :count], self.options[[row]], forbidden)


@dataclass(frozen=True)
class Point(Generic[AnyState]):
    """Where N streams are; a value that is never changed."""

    logits: Tensor
    """(N, V) for the next token."""
    state: AnyState
    """What the network has read."""
    seen: Tensor | None
    """(N, V) booleans, what the repetition penalty meets."""


class StreamNetwork(Protocol[AnyState]):
    """What the loop asks of a network."""

    longest: int
    """How many tokens are written in one call at most."""

    def begin(self, state: AnyState) -> tuple[Tensor, AnyState]:
        """Return the logits (N, V) for the token after what the state has read, and the state to go on from."""
        ...

    def write(self, point: Point[AnyState], draws: Draws) -> tuple[Tensor, Point[AnyState]]:
        """Draw and read T tokens in each stream; return them (N, T), and the point after them."""
        ...

    def select(self, state: AnyState, rows: Tensor) -> AnyState:
        """Return the state of some of the streams."""
        ...


class Stepwise(Generic[AnyState]):
    """Any network, read one token at a time.

    Args:
        next_logits: returns the logits (N, V) for the token after what a state has read.
        read: reads one token a stream (N,); returns the logits (N, V) for the next, and the state.
    select: see :class:`StreamNetwork`.
    """

    longest = 1  # a step is dear: none is taken for a stream that has ended

    def __init__(
        self,
        next_logits: Callable[[AnyState], Tensor],
        read: Callable[[Tensor, AnyState], tuple[Tensor, AnyState]],
        select: Callable[[AnyState, Tensor], AnyState],
    ) -> None:
        self._next_logits, self._read, self.select = next_logits, read, select

    def begin(self, state: AnyState) -> tuple[Tensor, AnyState]:
        """Return the logits for the next token; see :class:`StreamNetwork`."""
        return self._next_logits(state), state

    def write(self, point: Point[AnyState], draws: Draws) -> tuple[Tensor, Point[AnyState]]:
        """Draw and read tokens; see :class:`StreamNetwork`."""
        logits, state, seen = point.logits, point.state, None if point.seen is None else point.seen.clone()
        ids = torch.empty(draws.uniforms.shape, dtype=torch.int64, device=CPU)
        for column, numbers in enumerate(draws.uniforms.T):
            logits = (
                logits.to(CPU) if draws.forbidden is None else logits.to(CPU).masked_fill(draws.forbidden, -torch.inf)
            )
            ids[:, column] = draw(probabilities(logits, draws.options, seen), numbers)
            if seen is not None:
                seen[torch.arange(len(ids)), ids[:, column]] = True
            with torch.inference_mode():
                logits, state = self._read(ids[:, column], state)
        return ids, Point(logits, state, seen)


class Compiled:
    """A network that Elman's kernels write with; its state is of (L, N, H) float32 parts."""

    longest = MAX_TOKENS_PER_CALL

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def begin(self, state: State) -> tuple[Tensor, State]:
        """Return the logits for the next token; see :class:`StreamNetwork`."""
        state = state.map(lambda part: part.to(torch.float32))  # they are not, where autocast is on
        return self._writer.next_logits(tuple(state.values())), state

    def write(self, point: Point[State], draws: Draws) -> tuple[Tensor, Point[State]]:
        """Draw and read tokens; see :class:`StreamNetwork`."""
        seen = None if point.seen is None else point.seen.clone()
        state = point.state.map(Tensor.clone)
        logits = point.logits.clone()
        if draws.forbidden is not None:
            logits.masked_fill_(draws.forbidden, -torch.inf)
        ids = self._writer.write(logits, tuple(state.values()), draws.uniforms, draws.options, seen, draws.forbidden)
        return ids, Point(logits, state, seen)

    def select(self, state: State, rows: Tensor) -> State:
        """Return the state of some of the streams."""
        return state.select_rows(rows)


class Writing(Generic[AnyState]):
    """Several streams being written: iterating yields the new ids of each, in stretches that grow.

    The first stretch is of one token, so that there is something to show at once; a stream that has ended gets no more.

    Args:
        network: what writes.
        state: what it has read, of N streams; it is never changed.
        streams: N of them.

    Example:
        >>> table = torch.eye(3).roll(1, dims=1)  # the likeliest token is the next one
        >>> read = lambda ids, last: (table[ids], ids)
        >>> network = Stepwise(lambda last: table[last], read, lambda last, rows: last[rows])
        >>> streams = [Stream(sampling=Sampling(greedy=True), key=0, max_tokens=number) for number in (2, 4)]
        >>> writing = Writing(network, torch.tensor([0, 1]), streams)
        >>> list(writing)
        [[[1], [2]], [[2], [0]], [[], [1]], [[], [2]]]
        >>> writing.states()
        [tensor([2]), tensor([2])]
    """

    def __init__(self, network: StreamNetwork[AnyState], state: AnyState, streams: Sequence[Stream]) -> None:
        self._network, self._streams = network, streams
        self.positions = [stream.position for stream in streams]
        """How many draws each stream has made."""
        with torch.inference_mode():
            logits, state = network.begin(state)
        seen = None
        if any(stream.sampling.repetition_penalty != 1 for stream in streams):
            seen = _mark([stream.seen for stream in streams], logits)
        self._point = Point(logits.to(CPU), state, seen)
        self._options = lay_out_options(stream.sampling for stream in streams)
        any_forbidden = any(len(stream.forbidden) for stream in streams)
        self._forbidden = _mark([stream.forbidden for stream in streams], logits) if any_forbidden else None
        self._live = list(range(len(streams)))
        self._ends: dict[int, tuple[Point[AnyState], Draws | None]] = {}  # and what is still to be written from there
        self._drop([row for row, stream in enumerate(streams) if stream.max_tokens == 0])

    def __iter__(self) -> Iterator[list[list[int]]]:
        """Yield the new ids of each stream."""
        length = 1
        while self._live:
            left = min(self._left(number) for number in self._live)
            yield self._stretch(min(length, left, self._network.longest))
            length *= 2

    def states(self) -> list[AnyState]:
        """Return the state of each stream, which has read exactly what the stream has written."""
        rows = {number: row for row, number in enumerate(self._live)}
        states = []
        for number in range(len(self._streams)):
            point, rest = (
                self._ends[number] if number in self._ends else (self._select(self._point, [rows[number]]), None)
            )
            if rest is not None:  # the beginning of a stretch, until where the stream ended
                _, point = self._network.write(point, rest)
                self._ends[number] = point, None
            states.append(point.state)
        return states

    def _left(self, number: int) -> int:
        stream = self._streams[number]
        return stream.max_tokens - (self.positions[number] - stream.position)

    def _stretch(self, count: int) -> list[list[int]]:
        """Write ``count`` tokens in each stream that has not ended."""
        numbers = uniforms(
            [self._streams[number].key for number in self._live],
            [self.positions[number] for number in self._live],
            count,
        )
        draws = Draws(numbers, self._options, self._forbidden)
        before = self._point
        ids, self._point = self._network.write(before, draws)
        written: list[list[int]] = [[] for _ in self._streams]
        ended = []
        for row, (number, new) in enumerate(zip(self._live, ids.tolist(), strict=True)):
            taken = self._streams[number].stop(new)
            written[number] = new[:taken]
            self.positions[number] += len(written[number])
            if taken is not None or self._left(number) == 0:
                ended.append(row)
                if len(written[number]) < count:
                    rest = draws.select(row, len(written[number]))
                    self._ends[number] = self._select(before, [row]), rest
        self._drop(ended)
        return written

    def _drop(self, ended: Sequence[int]) -> None:
        """Go on without the streams of these rows."""
        for row in ended:
            if self._live[row] not in self._ends:
                self._ends[self._live[row]] = self._select(self._point, [row]), None
        stay = [row for row in range(len(self._live)) if row not in set(ended)]
        self._live = [self._live[row] for row in stay]
        if ended and stay:
            self._point = self._select(self._point, stay)
            self._options = self._options[stay]
            self._forbidden = None if self._forbidden is None else self._forbidden[stay]

    def _select(self, point: Point[AnyState], rows: Sequence[int]) -> Point[AnyState]:
        seen = None if point.seen is None else point.seen[rows]
        return Point(point.logits[rows], self._network.select(point.state, torch.tensor(rows, device=CPU)), seen)


def _mark(tokens: Sequence[Sequence[int]], logits: Tensor) -> Tensor:
    """Mark each stream's tokens in (N, V)."""
    marks = torch.zeros(logits.shape, dtype=torch.bool, device=CPU)
    for row, some in enumerate(tokens):
        marks[row, torch.as_tensor(list(some), dtype=torch.int64, device=CPU)] = True
    return marks
