"""Writing many streams at once: draw a token for each, feed it to the network, and repeat until each has ended.

state ──begin──▶ logits (N, V) ──write(uniforms)──▶ ids (N, T), logits, state ──▶ each stream's ids

Each stream has its own options, seed and end. What it draws depends only on its key and its position, so its tokens do
not depend on the other streams of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.decoding.options import Sampling
from elman.decoding.sampling import draw, lay_out_options, probabilities, uniforms
from elman.kernels.checks import CPU
from elman.kernels.generate import Writer
from elman.nn.state import State

MAX_TOKENS_PER_CALL = 256  # of the compiled writer

AnyState = TypeVar("AnyState")
Stop = Callable[[Sequence[int]], int | None]
"""Takes the new ids of a stream; returns how many of them belong to it if the stream has ended, or None."""


def stop_at(token_id: int) -> Stop:
    """Return a rule that ends a stream after the given token."""
    return lambda ids: ids.index(token_id) + 1 if token_id in ids else None


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The options of one stream."""

    sampling: Sampling
    """How to draw its tokens."""
    key: int
    """The key of its random numbers, see :func:`~elman.decoding.sampling.draw_key`."""
    position: int = 0
    """How many draws were already made with this key; a stream that resumes at n draws as if it had never stopped."""
    max_tokens: int
    """The most tokens to write."""
    stop: Stop = lambda ids: None
    """Ends the stream earlier."""
    forbidden: Sequence[int] = ()
    """Tokens that are never drawn."""
    forbid: Callable[[], NDArray[np.bool_]] | None = None
    """Returns the tokens that cannot come next, (V,) booleans. It is asked before each token, after ``stop`` has taken
    those before; tokens are then written one at a time."""
    seen: Sequence[int] = ()
    """Tokens that the repetition penalty applies to from the start."""


@dataclass(frozen=True)
class Draws:
    """The draws of N streams in one chunk of tokens."""

    uniforms: Tensor
    """Random numbers, (N, T) float64."""
    options: Tensor
    """Sampling options, (N, 5) float64, see :func:`~elman.decoding.sampling.lay_out_options`."""
    forbidden: Tensor | None
    """Tokens that are never drawn, (N, V) booleans."""

    def select(self, row: int, count: int) -> Draws:
        """Return the first ``count`` draws of one stream."""
        forbidden = None if self.forbidden is None else self.forbidden[[row]]
        return Draws(self.uniforms[[row], :count], self.options[[row]], forbidden)


@dataclass(frozen=True)
class Snapshot(Generic[AnyState]):
    """N streams between two tokens; immutable."""

    logits: Tensor
    """The logits of the next token, (N, V)."""
    state: AnyState
    """The network's state after all tokens so far."""
    seen: Tensor | None
    """Tokens that the repetition penalty applies to, (N, V) booleans."""


class StreamNetwork(Protocol[AnyState]):
    """What the loop requires of a network."""

    longest: int
    """The most tokens to write in one call."""

    def begin(self, state: AnyState) -> tuple[Tensor, AnyState]:
        """Return the logits (N, V) of the next token after a state, and the state to continue from."""
        ...

    def write(self, snapshot: Snapshot[AnyState], draws: Draws) -> tuple[Tensor, Snapshot[AnyState]]:
        """Draw and read T tokens in each stream; return them (N, T), and the snapshot after them."""
        ...

    def select(self, state: AnyState, rows: Tensor) -> AnyState:
        """Return the state of the given streams."""
        ...


class Stepwise(Generic[AnyState]):
    """Any network, run one token at a time.

    Args:
        next_logits: returns the logits (N, V) of the next token after a state.
        read: reads one token per stream (N,); returns the logits (N, V) of the next token, and the state.
        select: see :class:`StreamNetwork`.
    """

    longest = 1  # steps are expensive: none is wasted on a stream that has ended

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

    def write(self, snapshot: Snapshot[AnyState], draws: Draws) -> tuple[Tensor, Snapshot[AnyState]]:
        """Draw and read tokens; see :class:`StreamNetwork`."""
        logits, state, seen = snapshot.logits, snapshot.state, None if snapshot.seen is None else snapshot.seen.clone()
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
        return ids, Snapshot(logits, state, seen)


class Compiled:
    """A network that Elman's kernels run; the parts of its state are (L, N, H) float32."""

    longest = MAX_TOKENS_PER_CALL

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def begin(self, state: State) -> tuple[Tensor, State]:
        """Return the logits for the next token; see :class:`StreamNetwork`."""
        state = state.map(lambda part: part.to(torch.float32))  # autocast may have changed the dtype
        return self._writer.next_logits(tuple(state.values())), state

    def write(self, snapshot: Snapshot[State], draws: Draws) -> tuple[Tensor, Snapshot[State]]:
        """Draw and read tokens; see :class:`StreamNetwork`."""
        seen = None if snapshot.seen is None else snapshot.seen.clone()
        state = snapshot.state.map(Tensor.clone)
        logits = snapshot.logits.clone()
        if draws.forbidden is not None:
            logits.masked_fill_(draws.forbidden, -torch.inf)
        later = draws.forbidden if draws.uniforms.shape[1] > 1 else None  # the next call may forbid other tokens
        ids = self._writer.write(logits, tuple(state.values()), draws.uniforms, draws.options, seen, later)
        return ids, Snapshot(logits, state, seen)

    def select(self, state: State, rows: Tensor) -> State:
        """Return the state of the given streams."""
        return state.select_rows(rows)


class Writing(Generic[AnyState]):
    """Several streams being written: iterating yields the new ids of each, in chunks of growing length.

    The first chunk has one token, so that there is output at once. A stream that has ended yields no more ids.

    Args:
        network: the network that writes.
        state: its state for N streams; not modified.
        streams: the N streams.

    Example:
        >>> table = torch.eye(3).roll(1, dims=1)  # token n + 1 is the most likely after n
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
        """The number of draws that each stream has made."""
        with torch.inference_mode():
            logits, state = network.begin(state)
        seen = None
        if any(stream.sampling.repetition_penalty != 1 for stream in streams):
            seen = _mark([stream.seen for stream in streams], logits)
        self._snapshot = Snapshot(logits.to(CPU), state, seen)
        self._options = lay_out_options(stream.sampling for stream in streams)
        any_forbidden = any(len(stream.forbidden) for stream in streams)
        self._forbidden = _mark([stream.forbidden for stream in streams], logits) if any_forbidden else None
        self._is_stepwise = any(stream.forbid is not None for stream in streams)
        self._live = list(range(len(streams)))
        self._ends: dict[int, tuple[Snapshot[AnyState], Draws | None]] = {}  # with the draws still to replay from there
        self._drop([row for row, stream in enumerate(streams) if stream.max_tokens == 0])

    def __iter__(self) -> Iterator[list[list[int]]]:
        """Yield the new ids of each stream."""
        length = 1
        while self._live:
            left = min(self._tokens_left(number) for number in self._live)
            yield self._write_chunk(min(length, left, 1 if self._is_stepwise else self._network.longest))
            length *= 2

    def states(self) -> list[AnyState]:
        """Return the state of each stream after exactly the tokens that it has written."""
        rows = {number: row for row, number in enumerate(self._live)}
        states = []
        for number in range(len(self._streams)):
            snapshot, rest = (
                self._ends[number] if number in self._ends else (self._select(self._snapshot, [rows[number]]), None)
            )
            if rest is not None:  # replay the chunk up to where the stream ended
                _, snapshot = self._network.write(snapshot, rest)
                self._ends[number] = snapshot, None
            states.append(snapshot.state)
        return states

    def _tokens_left(self, number: int) -> int:
        stream = self._streams[number]
        return stream.max_tokens - (self.positions[number] - stream.position)

    def _write_chunk(self, count: int) -> list[list[int]]:
        """Write ``count`` tokens in each stream that has not ended."""
        numbers = uniforms(
            [self._streams[number].key for number in self._live],
            [self.positions[number] for number in self._live],
            count,
        )
        draws = Draws(numbers, self._options, self._find_forbidden())
        before = self._snapshot
        ids, self._snapshot = self._network.write(before, draws)
        written: list[list[int]] = [[] for _ in self._streams]
        ended = []
        for row, (number, new) in enumerate(zip(self._live, ids.tolist(), strict=True)):
            taken = self._streams[number].stop(new)
            written[number] = new[:taken]
            self.positions[number] += len(written[number])
            if taken is not None or self._tokens_left(number) == 0:
                ended.append(row)
                if len(written[number]) < count:
                    rest = draws.select(row, len(written[number]))
                    self._ends[number] = self._select(before, [row]), rest
        self._drop(ended)
        return written

    def _find_forbidden(self) -> Tensor | None:
        """Return the tokens that cannot be drawn next, (N, V) booleans."""
        if not self._is_stepwise:
            return self._forbidden
        marks = (
            torch.zeros(self._snapshot.logits.shape, dtype=torch.bool, device=CPU)
            if self._forbidden is None
            else self._forbidden
        )
        rules = [self._streams[number].forbid for number in self._live]
        rows = [
            mark if rule is None else mark | torch.from_numpy(rule()) for mark, rule in zip(marks, rules, strict=True)
        ]
        return torch.stack(rows)

    def _drop(self, ended: Sequence[int]) -> None:
        """Continue without the streams in the given rows."""
        for row in ended:
            if self._live[row] not in self._ends:
                self._ends[self._live[row]] = self._select(self._snapshot, [row]), None
        stay = [row for row in range(len(self._live)) if row not in set(ended)]
        self._live = [self._live[row] for row in stay]
        if ended and stay:
            self._snapshot = self._select(self._snapshot, stay)
            self._options = self._options[stay]
            self._forbidden = None if self._forbidden is None else self._forbidden[stay]

    def _select(self, snapshot: Snapshot[AnyState], rows: Sequence[int]) -> Snapshot[AnyState]:
        seen = None if snapshot.seen is None else snapshot.seen[rows]
        return Snapshot(
            snapshot.logits[rows], self._network.select(snapshot.state, torch.tensor(rows, device=CPU)), seen
        )


def _mark(tokens: Sequence[Sequence[int]], logits: Tensor) -> Tensor:
    """Mark each stream's tokens in (N, V)."""
    marks = torch.zeros(logits.shape, dtype=torch.bool, device=CPU)
    for row, some in enumerate(tokens):
        marks[row, torch.as_tensor(list(some), dtype=torch.int64, device=CPU)] = True
    return marks
