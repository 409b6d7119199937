"""Writing in one call, against a plain loop over torch.nn and a draw in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from elman.kernels import generate
from elman.kernels.compiler import IS_JIT_OFF
from elman.kernels.generate import Writer, draw_options

VOCAB, EMBEDDING = 11, 5


def options(streams, **sampling):
    """The same options for each stream."""
    return draw_options(**sampling).repeat(streams, 1)


LAYERS = {
    "RNN_TANH": torch.nn.RNN,
    "RNN_RELU": lambda *sizes: torch.nn.RNN(*sizes, nonlinearity="relu"),
    "GRU": torch.nn.GRU,
    "LSTM": torch.nn.LSTM,
}


class Network:
    """Embedding, torch.nn's layers and head, with weights large enough for every token to be drawn."""

    def __init__(self, mode, size, num_layers, vocab_size=VOCAB):
        torch.manual_seed(size)
        self.mode = mode
        self.embedding = torch.nn.Embedding(vocab_size, EMBEDDING)
        self.rnn = LAYERS[mode](EMBEDDING, size, num_layers)
        self.head = torch.nn.Linear(size, vocab_size)
        with torch.no_grad():
            self.head.weight.mul_(3)

    def writer(self):
        return Writer(self.mode, self.embedding.weight, self.rnn.all_weights, self.head.weight, self.head.bias)

    def start(self, streams):
        """Draw a first state and first logits."""
        parts = 2 if self.mode == "LSTM" else 1
        shape = (self.rnn.num_layers, streams, self.rnn.hidden_size)
        logits = torch.randn(streams, self.head.out_features)
        return logits, tuple(torch.randn(shape) for _ in range(parts))

    def loop(self, logits, state, uniforms, pick):
        """Write step by step; ``pick(logits, uniform)`` draws one token of one stream."""
        state = tuple(state) if len(state) == 2 else state[0]
        ids = []
        with torch.inference_mode():
            for column in uniforms.T:
                ids.append([pick(row.double().numpy(), float(u)) for row, u in zip(logits, column, strict=True)])
                outputs, state = self.rnn(self.embedding(torch.tensor([ids[-1]])), state)
                logits = self.head(outputs[0])
        return torch.tensor(ids).T, logits, state if isinstance(state, tuple) else (state,)


def softmax(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def invert(logits, uniform):
    return int(np.searchsorted(softmax(logits).cumsum(), uniform, side="right"))


def written_equals_loop(network, streams, count, pick=invert, **sampling):
    writer = network.writer()
    logits, state = network.start(streams)
    uniforms = torch.rand(streams, count, dtype=torch.float64)
    expected, expected_logits, expected_state = network.loop(logits, state, uniforms, pick)
    ids = writer.write(logits, state, uniforms, options(streams, **sampling))
    assert ids.tolist() == expected.tolist()
    # float32 sums in another order, and tanh to within 4e-7, over some dozen steps
    torch.testing.assert_close(logits, expected_logits, atol=2e-5, rtol=1e-5)
    for part, expected_part in zip(state, expected_state, strict=True):
        torch.testing.assert_close(part, expected_part, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("mode", LAYERS)
@pytest.mark.parametrize(("size", "num_layers", "streams", "count"), [(7, 1, 1, 6), (17, 2, 3, 9), (3, 1, 2, 1)])
def test_writing_equals_a_loop_over_torch(mode, size, num_layers, streams, count):
    written_equals_loop(Network(mode, size, num_layers), streams, count)


@pytest.mark.parametrize("mode", LAYERS)
def test_greedy_takes_the_most_likely_token(mode):
    greedy = lambda logits, uniform: int(logits.argmax())  # noqa: E731
    written_equals_loop(Network(mode, 9, 1), 2, 12, pick=greedy, greedy=True)


@pytest.mark.parametrize("mode", LAYERS)
def test_a_vocabulary_too_large_for_the_table_is_embedded(mode, monkeypatch):
    monkeypatch.setattr(generate, "TABLE_LIMIT", 0)
    written_equals_loop(Network(mode, 6, 2), 2, 7)


@pytest.fixture(params=[2, 3])
def tickets(request, monkeypatch):
    """Make this many threads share a step, however small it is."""
    if IS_JIT_OFF:
        pytest.skip("Python takes one ticket after the other: none can wait for another")
    monkeypatch.setattr(generate, "THREADS_FROM", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: request.param)
    return request.param


@pytest.mark.usefixtures("tickets")
@pytest.mark.parametrize("table_limit", [0, generate.TABLE_LIMIT])
@pytest.mark.parametrize("mode", LAYERS)
@pytest.mark.parametrize(("num_layers", "streams", "vocab_size"), [(1, 1, VOCAB), (1, 2, 100), (2, 5, 100), (3, 1, 70)])
def test_threads_that_share_a_step_write_the_same(mode, num_layers, streams, vocab_size, table_limit, monkeypatch):
    monkeypatch.setattr(generate, "TABLE_LIMIT", table_limit)
    written_equals_loop(Network(mode, 96, num_layers, vocab_size), streams, 13)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("mode", ["RNN_TANH", "GRU", "LSTM"])
def test_threads_give_the_bits_of_one_over_thousands_of_steps(tickets, mode, num_layers, monkeypatch):
    """Detect, sooner or later, a thread that reads before another has written, or writes while it reads."""
    writer = Network(mode, 192, num_layers, 97).writer()
    start = torch.randn(1, 97), tuple(torch.randn(num_layers, 1, 192) for _ in range(1 + (mode == "LSTM")))
    uniforms = torch.rand(1, 3_000, dtype=torch.float64)
    found = []
    for count in (1, tickets):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=count: count)
        logits, state = start[0].clone(), tuple(part.clone() for part in start[1])
        found.append([writer.write(logits, state, uniforms, options(1)), logits, *state])
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize("streams", [1, 4])
def test_threads_meet_the_repetition_penalty_at_the_same_time(tickets, streams, monkeypatch):
    """A token that one thread marks as seen must not affect another that is still drawing."""
    network = Network("GRU", 96, 1, 40)
    logits, state = network.start(streams)
    uniforms = torch.rand(streams, 300, dtype=torch.float64)
    found = []
    for count in (1, tickets):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=count: count)
        seen = torch.zeros(streams, 40, dtype=torch.bool)
        start = (logits.clone(), (state[0].clone(),))
        ids = network.writer().write(*start, uniforms, options(streams, repetition_penalty=3.0, top_p=0.9), seen)
        found.append((ids.tolist(), seen.tolist()))
    assert found[0] == found[1]


def test_draws_follow_the_distribution():
    network = Network("GRU", 8, 1)
    logits = torch.linspace(-1, 2, VOCAB)
    streams = 20_000
    _, state = network.start(streams)
    uniforms = torch.rand(streams, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ids = network.writer().write(logits.repeat(streams, 1), state, uniforms, options(streams, temperature=0.7))
    expected = softmax(logits.double().numpy() / 0.7) * streams
    found = np.bincount(ids[:, 0].numpy(), minlength=VOCAB)
    statistic = ((found - expected) ** 2 / expected).sum()
    assert statistic < 29.59  # chi-square with 10 degrees of freedom: a correct sampler exceeds it once in a thousand


def test_the_options_of_a_draw_are_those_of_sampling():
    from elman.decoding.options import Sampling
    from elman.decoding.sampling import draw, probabilities

    network, streams, count = Network("LSTM", 8, 1), 3, 15
    sampling = {"temperature": 0.9, "top_k": 6, "top_p": 0.8, "repetition_penalty": 1.3}
    seen = torch.zeros(streams, VOCAB, dtype=torch.bool)
    seen[:, 3] = True
    logits, state = network.start(streams)
    loop_logits, loop_state, loop_seen = logits.clone(), (state[0].clone(), state[1].clone()), seen.clone()
    uniforms = torch.stack(
        [torch.rand(count, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) for n in range(streams)]
    )
    ids = network.writer().write(logits, state, uniforms, options(streams, **sampling), seen)

    for column, numbers in zip(ids.T, uniforms.T, strict=True):
        expected = draw(probabilities(loop_logits, Sampling(**sampling), loop_seen), numbers)
        assert column.tolist() == expected.tolist()
        loop_seen[torch.arange(streams), expected] = True
        with torch.inference_mode():
            outputs, loop_state = network.rnn(network.embedding(expected[None]), loop_state)
            loop_logits = network.head(outputs[0])
    assert seen.tolist() == loop_seen.tolist()


def test_forbidden_tokens_are_not_written():
    network = Network("RNN_TANH", 6, 1)
    bias = network.head.bias.detach().clone()
    bias[:9] = -torch.inf
    writer = Writer("RNN_TANH", network.embedding.weight, network.rnn.all_weights, network.head.weight, bias)
    logits, state = network.start(4)
    logits[:, :9] = -torch.inf
    ids = writer.write(logits, state, torch.rand(4, 30, dtype=torch.float64), options(4))
    assert set(ids.flatten().tolist()) == {9, 10}


def test_writing_nothing_changes_nothing():
    network = Network("LSTM", 6, 1)
    logits, state = network.start(2)
    before = [tensor.clone() for tensor in (logits, *state)]
    nothing = torch.empty(2, 0, dtype=torch.float64)
    assert network.writer().write(logits, state, nothing, options(2)).shape == (2, 0)
    assert all(torch.equal(one, other) for one, other in zip((logits, *state), before, strict=True))


MANY = [
    {"temperature": 0.7},
    {"greedy": True},
    {"temperature": 1.3, "top_k": 4},
    {"top_p": 0.8, "repetition_penalty": 1.4},
    {},
]


@pytest.mark.skipif(IS_JIT_OFF, reason="numpy's products have an order of their own")
@pytest.mark.parametrize("size", [1, 7, 33, 64, 130, 300])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("mode", ["RNN_TANH", "GRU", "LSTM"])
def test_a_stream_has_the_same_bits_alone_and_among_fifteen_others(mode, num_layers, size):
    """Whichever streams are in the batch, and into however many calls the tokens are split."""
    network, count = Network(mode, size, num_layers, vocab_size=37), 24
    writer = network.writer()
    logits, state = network.start(16)
    uniforms = torch.rand(16, count, dtype=torch.float64)
    rows = torch.stack([draw_options(**MANY[stream % len(MANY)]) for stream in range(16)])
    seen, forbidden = torch.rand(16, 37) < 0.1, torch.rand(16, 37) < 0.3
    logits.masked_fill_(forbidden, -torch.inf)
    for streams in (16, 11, 3):  # which the product takes in different groups
        together = [part[:streams].clone() for part in (logits, seen)]
        together[1:1] = [part[:, :streams].clone() for part in state]
        ids = writer.write(
            together[0], together[1:-1], uniforms[:streams], rows[:streams], together[-1], forbidden[:streams]
        )
        assert not forbidden[torch.arange(streams)[:, None], ids].any()
        for one in range(streams):
            here = slice(one, one + 1)
            alone = [part[here].clone() for part in (logits, seen)]
            alone[1:1] = [part[:, here].clone() for part in state]
            pieces = [
                writer.write(alone[0], alone[1:-1], uniforms[here, first:end], rows[here], alone[-1], forbidden[here])
                for first, end in ((0, 1), (1, 8), (8, count))
            ]
            assert torch.equal(torch.cat(pieces, dim=1)[0], ids[one])
            assert torch.equal(alone[0][0], together[0][one])
            assert torch.equal(alone[-1][0], together[-1][one])
            for part, whole in zip(alone[1:-1], together[1:-1], strict=True):
                assert torch.equal(part[:, 0], whole[:, one])
            said = writer.next_logits(alone[1:-1]).masked_fill(forbidden[here], -torch.inf)
            assert torch.equal(said, alone[0])
