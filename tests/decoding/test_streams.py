"""The loop against a loop for each stream alone, in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.decoding.options import Sampling
from elman.decoding.sampling import draw, draw_key, probabilities, uniforms
from elman.decoding.streams import Compiled, Stepwise, Stream, Writing, stop_at
from elman.kernels.compiler import IS_JIT_OFF
from elman.kernels.generate import Writer
from elman.nn.state import State

VOCAB, END = 13, 2


class Network:
    """A GRU in torch, and Elman's kernels on the same weights."""

    def __init__(self, num_streams: int) -> None:
        torch.manual_seed(3)
        self.embedding, self.rnn = torch.nn.Embedding(VOCAB, 5), torch.nn.GRU(5, 9, 2)
        self.head = torch.nn.Linear(9, VOCAB)
        with torch.no_grad():
            self.head.weight.mul_(3)
        self.start = State(hidden=torch.randn(2, num_streams, 9))

    def next_logits(self, state: State) -> Tensor:
        return self.head(state["hidden"][-1])

    @torch.inference_mode()
    def read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        outputs, after = self.rnn(self.embedding(ids[None]), state["hidden"])
        return self.head(outputs[0]), State(hidden=after)

    def stepwise(self) -> Any:
        return Stepwise(self.next_logits, self.read, State.select_rows)

    def compiled(self) -> Any:
        return Compiled(Writer("GRU", self.embedding.weight, self.rnn.all_weights, self.head.weight, self.head.bias))

    def alone(self, row: int, stream: Stream) -> tuple[list[int], Tensor]:
        """Write one stream, token by token; return its ids and the state that has read them."""
        state = self.start.select_rows(torch.tensor([row]))
        logits = self.next_logits(state)
        seen = torch.zeros(1, VOCAB, dtype=torch.bool)
        seen[0, list(stream.seen)] = True
        ids: list[int] = []
        while len(ids) < stream.max_tokens:
            logits[0, list(stream.forbidden)] = -torch.inf
            if stream.forbid is not None:
                logits[0, torch.from_numpy(stream.forbid())] = -torch.inf
            number = uniforms([stream.key], [stream.position + len(ids)], 1)[0]
            token = int(draw(probabilities(logits.detach(), stream.sampling, seen), number))
            seen[0, token] = True
            ids.append(token)
            logits, state = self.read(torch.tensor([token]), state)
            logits = logits.clone()
            if stream.stop([token]) is not None:
                break
        return ids, state["hidden"]


def several() -> list[Stream]:
    """Streams of which no two have the same options or the same end."""
    return [
        Stream(sampling=Sampling(temperature=1.0), key=draw_key(1), max_tokens=70),
        Stream(sampling=Sampling(greedy=True), key=draw_key(2), max_tokens=3, forbidden=[0, 1]),
        Stream(sampling=Sampling(temperature=2.0), key=draw_key(3), max_tokens=300, stop=stop_at(END)),
        Stream(sampling=Sampling(top_k=3, repetition_penalty=1.5), key=draw_key(4), max_tokens=50, seen=[4, 5]),
        Stream(sampling=Sampling(top_p=0.7), key=draw_key(1), position=5, max_tokens=41, forbidden=[END]),
        Stream(sampling=Sampling(), key=draw_key(6), max_tokens=0),
        Stream(sampling=Sampling(temperature=1.5), key=draw_key(7), max_tokens=300, stop=stop_at(7)),
    ]


@pytest.mark.parametrize("kind", ["stepwise", "compiled"])
def test_every_stream_equals_the_stream_alone(kind: str) -> None:
    streams = several()
    network = Network(len(streams))
    writing = Writing(getattr(network, kind)(), network.start, streams)
    ids: list[list[int]] = [[] for _ in streams]
    lengths = []
    for pieces in writing:
        lengths.append(max(map(len, pieces)))
        for one, new in zip(ids, pieces, strict=True):
            one += new
    assert lengths[:3] == ([1, 1, 1] if kind == "stepwise" else [1, 2, 4])
    for row, (stream, state) in enumerate(zip(streams, writing.states(), strict=True)):
        expected, expected_state = network.alone(row, stream)
        assert ids[row] == expected
        assert writing.positions[row] == stream.position + len(expected)
        # 1e-4: up to 300 float32 steps, rounded otherwise
        torch.testing.assert_close(state["hidden"], expected_state, rtol=0, atol=1e-4)
    assert {len(one) for one in ids} >= {70, 3, 50, 41, 0}
    assert ids[2][-1] == END
    assert 1 < len(ids[2]) < 300


def never_twice() -> Stream:
    """A stream whose rule forbids the last three tokens that it has written."""
    written: list[int] = []

    def take(new: Sequence[int]) -> None:
        written.extend(new)

    def forbid() -> NDArray[np.bool_]:
        return np.isin(np.arange(VOCAB), written[-3:])

    sampling = Sampling(top_k=4, repetition_penalty=1.2)
    return Stream(sampling=sampling, key=draw_key(8), max_tokens=60, stop=take, forbid=forbid, forbidden=[5])


@pytest.mark.parametrize("kind", ["stepwise", "compiled"])
def test_what_a_rule_forbids_is_never_drawn(kind: str) -> None:
    other = Stream(sampling=Sampling(), key=draw_key(2), max_tokens=60)
    network = Network(2)
    ids: list[list[int]] = [[], []]
    for pieces in Writing(getattr(network, kind)(), network.start, [never_twice(), other]):
        for one, new in zip(ids, pieces, strict=True):
            one += new
    assert ids == [network.alone(0, never_twice())[0], network.alone(1, other)[0]]
    assert all(token not in ids[0][max(place - 3, 0) : place] for place, token in enumerate(ids[0]))
    assert 5 not in ids[0]
    assert len(set(ids[0])) > 4


@pytest.mark.skipif(IS_JIT_OFF, reason="numpy's products have an order of their own")
@pytest.mark.parametrize("longest", [1, 3, 256])
def test_an_interrupted_stream_continues_with_the_same_bits(longest: int) -> None:
    """From its state and position, into however many kernel calls the work is split."""
    network = Network(1)
    stream = Stream(sampling=Sampling(temperature=1.2), key=draw_key(9), max_tokens=90)
    whole = Writing(network.compiled(), network.start, [stream])
    ids = [token for (new,) in whole for token in new]
    compiled = network.compiled()
    compiled.longest = longest
    for cut in (1, 2, 37):
        first = Writing(compiled, network.start, [Stream(**{**vars(stream), "max_tokens": cut})])
        begun = [token for (new,) in first for token in new]
        rest = Stream(**{**vars(stream), "max_tokens": 90 - cut, "position": first.positions[0]})
        second = Writing(compiled, first.states()[0], [rest])
        assert begun + [token for (new,) in second for token in new] == ids
        assert torch.equal(second.states()[0]["hidden"], whole.states()[0]["hidden"])


@pytest.mark.skipif(IS_JIT_OFF, reason="numpy's products have an order of their own")
def test_the_state_of_a_stream_that_stops_within_a_chunk_is_exact() -> None:
    network = Network(2)
    long = Stream(sampling=Sampling(temperature=1.2, repetition_penalty=1.1), key=draw_key(9), max_tokens=100)
    whole = Writing(network.compiled(), network.start, [long, long])
    ids = [new for pieces in whole for new in pieces[1]]
    ends_after = 44  # within the stretch of 32 to 63
    counted: list[int] = []

    def stop(new: Any) -> int | None:
        counted.append(len(new))
        left = ends_after - sum(counted[:-1])
        return left if len(new) >= left else None

    short = Stream(**{**vars(long), "stop": stop})
    exact = Stream(**{**vars(long), "max_tokens": ends_after})
    stopped, limited = (Writing(network.compiled(), network.start, [long, one]) for one in (short, exact))
    written = [[new for pieces in writing for new in pieces[1]] for writing in (stopped, limited)]
    assert written == [ids[:ends_after]] * 2
    for _ in range(2):
        for state, expected in zip(stopped.states(), limited.states(), strict=True):
            assert torch.equal(state["hidden"], expected["hidden"])


def test_the_penalty_applies_to_written_tokens() -> None:
    """With a huge penalty, no token repeats until all have occurred."""
    logits = torch.tensor([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]])
    network: Any = Stepwise(lambda state: logits, lambda ids, state: (logits, state), lambda state, rows: state)
    stream = Stream(sampling=Sampling(greedy=True, repetition_penalty=1e6), key=0, max_tokens=6)
    assert [new for (new,) in Writing(network, None, [stream])] == [[0], [1], [2], [3], [4], [5]]


def test_a_state_is_not_modified() -> None:
    streams = several()
    network = Network(len(streams))
    before = network.start["hidden"].clone()
    for kind in (network.compiled(), network.stepwise()):
        list(Writing(kind, network.start, streams))
        assert torch.equal(network.start["hidden"], before)
