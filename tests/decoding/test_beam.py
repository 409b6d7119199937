"""Beam search against exhaustive search, and against greedy search."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from elman.decoding.beam import beam_search
from elman.errors import UsageError

BEGIN, END = 1, 2


class Hidden(NamedTuple):
    """The state of a small recurrent network, and the sentence that each row writes about."""

    state: Tensor  # (R, H)
    topic: Tensor  # (B, H)

    def select(self, sentences: Tensor, rows: Tensor) -> Hidden:
        return Hidden(self.state[rows], self.topic[sentences])


class Network:
    """A random network whose next token depends on everything written, and on the sentence."""

    def __init__(self, vocab_size: int, num_sentences: int, seed: int, sharpness: float = 2.0) -> None:
        generator = torch.Generator().manual_seed(seed)

        def drawn(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        self.recurrent, self.embedding, self.output = (
            drawn(6, 6),
            drawn(vocab_size, 6),
            sharpness * drawn(6, vocab_size),
        )
        self.start = Hidden(torch.zeros(num_sentences, 6), drawn(num_sentences, 6))

    def step(self, ids: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        topic = hidden.topic.repeat_interleave(len(ids) // len(hidden.topic), dim=0)
        state = torch.tanh(hidden.state @ self.recurrent + self.embedding[ids] + topic)
        logits = state @ self.output
        logits[:, BEGIN] = -torch.inf
        return logits, hidden._replace(state=state)

    def log_prob(self, sentence: int, tokens: tuple[int, ...]) -> float:
        """Return log p of a sequence, its end among the tokens, by reading it alone."""
        hidden = Hidden(self.start.state[:1], self.start.topic[sentence : sentence + 1])
        total = 0.0
        for before, token in itertools.pairwise((BEGIN, *tokens)):
            logits, hidden = self.step(torch.tensor([before]), hidden)
            total += float(logits.log_softmax(-1)[0, token])
        return total

    def all_scored(
        self, vocab_size: int, sentence: int, max_length: int, penalty: float
    ) -> dict[tuple[int, ...], float]:
        """Score every sequence that ends within ``max_length`` tokens or is so long without an end."""
        others = [token for token in range(vocab_size) if token not in (BEGIN, END)]
        scored = {}
        for length in range(1, max_length + 1):
            for body in itertools.product(others, repeat=length - 1):
                scored[body] = self.log_prob(sentence, (*body, END)) / length**penalty
        for body in itertools.product(others, repeat=max_length):
            scored[body] = self.log_prob(sentence, body) / max_length**penalty
        return scored


OPTIONS = {"begin_id": BEGIN, "end_id": END}


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_a_beam_as_wide_as_all_sequences_finds_the_best_of_them(seed: int, penalty: float) -> None:
    network = Network(vocab_size=5, num_sentences=3, seed=seed)
    found = beam_search(network.step, network.start, 3, beam_size=130, max_length=4, length_penalty=penalty, **OPTIONS)
    for sentence, hypotheses in enumerate(found):
        scored = network.all_scored(5, sentence, 4, penalty)
        assert len(scored) == 1 + 3 + 9 + 27 + 81
        wanted = sorted(scored, key=scored.__getitem__, reverse=True)
        assert [hypothesis.ids for hypothesis in hypotheses[:10]] == wanted[:10]
        assert {hypothesis.ids for hypothesis in hypotheses} == set(wanted)
        for hypothesis in hypotheses:  # float32 sums of four logarithms
            assert hypothesis.score == pytest.approx(scored[hypothesis.ids], abs=1e-5)


@pytest.mark.parametrize("beam_size", [2, 3, 5])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_beam_never_scores_below_the_greedy_choice(beam_size: int, penalty: float) -> None:
    better = 0
    for seed in range(60):
        network = Network(vocab_size=9, num_sentences=4, seed=seed, sharpness=1.0)
        options = {"max_length": 8, "length_penalty": penalty, **OPTIONS}
        greedy = beam_search(network.step, network.start, 4, beam_size=1, **options)
        beam = beam_search(network.step, network.start, 4, beam_size=beam_size, **options)
        for (one,), several in zip(greedy, beam, strict=True):
            assert several[0].score >= one.score - 1e-6
            assert len(several) == len({hypothesis.ids for hypothesis in several}) <= beam_size
            assert several == sorted(several, key=lambda hypothesis: -hypothesis.score)
            better += several[0].score > one.score + 1e-6
    assert better > 20  # and it is worth its cost


def test_greedy_search_takes_the_most_likely_token_each_time() -> None:
    network = Network(vocab_size=7, num_sentences=5, seed=3)
    for sentence, (hypothesis,) in enumerate(
        beam_search(network.step, network.start, 5, beam_size=1, max_length=9, **OPTIONS)
    ):
        tokens: list[int] = []
        while len(tokens) < 9:
            rest = [token for token in range(7) if token != BEGIN]
            tokens.append(max(rest, key=lambda token: network.log_prob(sentence, (*tokens, token))))
            if tokens[-1] == END:
                tokens.pop()
                break
        assert hypothesis.ids == tuple(tokens)


@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_sentence_does_not_depend_on_the_others_in_the_batch(beam_size: int) -> None:
    network = Network(vocab_size=8, num_sentences=6, seed=11)
    options = {"beam_size": beam_size, "max_length": 7, **OPTIONS}
    together = beam_search(network.step, network.start, 6, **options)
    for sentence in range(6):
        alone = Hidden(network.start.state[:1], network.start.topic[sentence : sentence + 1])
        (hypotheses,) = beam_search(network.step, alone, 1, **options)
        assert [hypothesis.ids for hypothesis in hypotheses] == [hypothesis.ids for hypothesis in together[sentence]]


def test_no_sentences_give_no_hypotheses() -> None:
    network = Network(vocab_size=5, num_sentences=0, seed=0)
    assert beam_search(network.step, network.start, 0, beam_size=3, max_length=4, **OPTIONS) == []


def test_logits_of_nan_are_refused():
    class Nothing:
        def select(self, sentences, rows):
            return self

    def step(ids, state):
        return torch.full((len(ids), 5), torch.nan), state

    with pytest.raises(UsageError, match="NaN or infinity"):
        beam_search(step, Nothing(), 1, begin_id=1, end_id=2, beam_size=2, max_length=3)
