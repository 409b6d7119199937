"""The distribution against loops over Python floats, the draws against it, the numbers against SplitMix64."""

import itertools
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from elman.decoding.options import Sampling
from elman.decoding.sampling import draw, draw_key, probabilities, uniforms
from elman.errors import UsageError


def naive_probabilities(logits, sampling, seen):
    """One token at a time, as in the papers."""
    scores = []
    for logit, was_seen in zip(logits, seen, strict=True):
        if was_seen:
            penalty = sampling.repetition_penalty
            logit = logit / penalty if logit > 0 else logit * penalty
        scores.append(logit)
    if sampling.greedy:
        best = scores.index(max(scores))
        return [float(index == best) for index in range(len(scores))]
    scores = [score / sampling.temperature for score in scores]
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    kept = order[: sampling.top_k] if sampling.top_k else order
    weights = {index: math.exp(scores[index] - scores[order[0]]) for index in kept}
    total = math.fsum(weights.values())
    probs = {index: weight / total for index, weight in weights.items()}
    if sampling.top_p < 1:
        nucleus, reached = [], 0.0
        for index in kept:
            if reached >= sampling.top_p:
                break
            assume(abs(reached - sampling.top_p) > 1e-9)  # on the border itself, rounding decides
            nucleus.append(index)
            reached += probs[index]
        assume(abs(reached - sampling.top_p) > 1e-9)
        probs = {index: probs[index] / reached for index in nucleus}
    return [probs.get(index, 0.0) for index in range(len(scores))]


# thousandths, so that no two logits differ by less than the tolerance can tell
rows = st.lists(st.integers(-9000, 9000).map(lambda thousandths: thousandths / 1000), min_size=1, max_size=12)


@settings(max_examples=150)
@given(
    logits=rows,
    temperature=st.floats(0.05, 20),
    top_k=st.integers(0, 14),
    top_p=st.one_of(st.just(1.0), st.integers(1, 99).map(lambda hundredths: hundredths / 100)),
    penalty=st.floats(0.3, 3),
    greedy=st.booleans(),
    data=st.data(),
)
def test_probabilities_are_those_of_the_definition(logits, temperature, top_k, top_p, penalty, greedy, data):
    seen = data.draw(st.lists(st.booleans(), min_size=len(logits), max_size=len(logits)))
    penalised = [(x / penalty if x > 0 else x * penalty) if was else x for x, was in zip(logits, seen, strict=True)]
    ordered = sorted(penalised)
    assume(all(b - a > 1e-9 for a, b in pairwise(ordered)))  # of equals, either may be kept
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, repetition_penalty=penalty, greedy=greedy)
    sampling.check()
    probs = probabilities(torch.tensor([logits], dtype=torch.float64), sampling, torch.tensor([seen]))
    # 1e-12: both are float64; a logit up to 540 after the temperature is off by 1e-13, and so is its exponential
    assert probs[0].tolist() == pytest.approx(naive_probabilities(logits, sampling, seen), abs=1e-12)
    assert probs.sum().item() == pytest.approx(1, abs=1e-12)


def test_without_any_restriction_it_is_the_softmax():
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(1))
    probs = probabilities(logits, Sampling(temperature=1.0))
    # 1e-15: the same function in float64, but for a shift by the largest logit
    torch.testing.assert_close(probs, logits.double().softmax(-1), rtol=0, atol=1e-15)


def test_top_k_one_is_greedy():
    logits = torch.randn(50, 9, generator=torch.Generator().manual_seed(2))
    assert torch.equal(probabilities(logits, Sampling(top_k=1)), probabilities(logits, Sampling(greedy=True)))


@pytest.mark.parametrize(("top_p", "num_kept"), [(0.49, 1), (0.51, 2), (0.74, 2), (0.76, 3), (0.87, 3), (0.88, 4)])
def test_top_p_keeps_the_fewest_that_reach_it(top_p, num_kept):
    probs = torch.tensor([[0.125, 0.5, 0.0625, 0.25, 0.0625]])
    kept = probabilities(probs.log(), Sampling(temperature=1.0, top_p=top_p))[0]
    assert (kept > 0).sum() == num_kept
    by_size = sorted(probs[0].tolist(), reverse=True)
    expected = [prob / sum(by_size[:num_kept]) for prob in by_size[:num_kept]]
    # 1e-6: the logits are float32
    assert sorted(kept.tolist(), reverse=True)[:num_kept] == pytest.approx(expected, abs=1e-6)


def test_top_p_always_keeps_the_most_likely_token():
    probs = probabilities(torch.tensor([[5.0, 0.0, 0.0]]), Sampling(temperature=1.0, top_p=1e-9))
    assert probs.tolist() == [[1.0, 0.0, 0.0]]


def test_forbidden_tokens_stay_forbidden():
    logits = torch.tensor([[1.0, -torch.inf, 0.5]])
    seen = torch.ones(1, 3, dtype=torch.bool)
    for sampling in (Sampling(), Sampling(top_k=3), Sampling(top_p=0.9999), Sampling(repetition_penalty=2.0)):
        assert probabilities(logits, sampling, seen)[0, 1] == 0


@pytest.mark.parametrize("temperature", [1e-308, 1e-30, 1e30])
def test_extreme_temperatures_give_no_nan(temperature):
    probs = probabilities(torch.tensor([[3.0, 30.0, -3.0]]), Sampling(temperature=temperature))
    expected = [0, 1, 0] if temperature < 1 else [1 / 3] * 3
    assert probs[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("setting", "remedy"),
    [
        ({"temperature": 0}, "above zero"),
        ({"temperature": -1}, "above zero"),
        ({"temperature": math.inf}, "above zero"),
        ({"temperature": math.nan}, "above zero"),
        ({"top_k": -1}, "at least 1"),
        ({"top_p": 0}, "above 0"),
        ({"top_p": 1.5}, "at most 1"),
        ({"repetition_penalty": 0}, "above zero"),
    ],
)
def test_a_setting_outside_its_limits_is_refused(setting, remedy):
    ((name, value),) = setting.items()
    with pytest.raises(UsageError, match=rf"{name} is {value}.*{remedy}"):
        Sampling(**setting).check()


def test_draws_follow_the_distribution():
    probs = torch.tensor([0.5, 0.0, 0.25, 0.125, 0.1, 0.025, 0.0], dtype=torch.float64)
    num_draws = 4000
    numbers = uniforms([draw_key(seed) for seed in range(num_draws)], [0] * num_draws, 1)[:, 0]
    counts = draw(probs.expand(num_draws, -1), numbers).bincount(minlength=7)
    assert counts[1] == counts[6] == 0
    possible = probs > 0
    expected = num_draws * probs[possible]
    chi_square = ((counts[possible] - expected) ** 2 / expected).sum().item()
    assert chi_square < 18.47  # exceeded by chance once in a thousand with 4 degrees of freedom; the seed is fixed


def test_a_continued_stream_follows_the_distribution():
    probs = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
    numbers = uniforms([draw_key(5)], [0], 2000)[0]
    counts = draw(probs.expand(2000, -1), numbers).bincount(minlength=3)
    expected = 2000 * probs[0]
    assert ((counts - expected) ** 2 / expected).sum().item() < 13.82  # once in a thousand, 2 degrees of freedom


def test_a_draw_never_exceeds_the_last_token():
    probs = torch.tensor([[0.1] * 10 + [0.0]], dtype=torch.float64)  # its sum is 1 - 1e-16
    for uniform, expected in ((0.0, 0), (1 - 2**-53, 9)):
        assert draw(probs, torch.tensor([uniform], dtype=torch.float64)).item() == expected


# ---------------------------------------------------------------- the numbers of the draws


def splitmix64(state, count):
    """The generator of Steele, Lea and Flood as it is published in C, in Python's integers."""
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        yield z ^ (z >> 31)


def test_the_numbers_are_splitmix64s():
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]  # of seed 1234567
    assert list(splitmix64(1234567, 4)) == published
    for key in (1234567, 0, 2**64 - 1):
        expected = [(bits >> 11) / 2**53 for bits in splitmix64(key, 300)]
        assert uniforms([key], [0], 300)[0].tolist() == expected
        assert uniforms([5, key], [0, 123], 9)[1].tolist() == expected[123:132]  # a number depends on its position only


def test_neighbouring_seeds_and_positions_have_independent_numbers():
    numbers = uniforms([draw_key(seed) for seed in range(400)], [0] * 400, 50).numpy()
    assert 0 <= numbers.min() < numbers.max() < 1
    assert numbers.mean() == pytest.approx(0.5, abs=5 * (1 / 12 / numbers.size) ** 0.5)  # five standard errors
    for one, other in ((numbers[:, 1:], numbers[:, :-1]), (numbers[1:], numbers[:-1])):
        correlation = np.corrcoef(one.ravel(), other.ravel())[0, 1]
        assert abs(correlation) < 5 / one.size**0.5


def test_a_key_depends_on_every_number_and_its_place():
    keys = {draw_key(*numbers) for numbers in itertools.product((0, 1, 2, -1, 2**70), repeat=2)}
    keys |= {draw_key(number) for number in (0, 1, 2)} | {draw_key(0, 0, 0)}
    assert len(keys) == 25 + 4
