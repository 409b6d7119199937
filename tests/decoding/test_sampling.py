"""The distribution against loops over Python floats, the draws against the distribution, the stop against str.find."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from elman.decoding.sampling import Sampling, StopBuffer, draw, probabilities, sample
from elman.errors import UsageError


def naive_probabilities(logits, sampling, seen):
    """One token at a time, as the papers say it."""
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


@settings(deadline=None, max_examples=150)
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


def test_top_p_keeps_the_likeliest_even_if_it_alone_is_more():
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
def test_a_setting_outside_its_limits_is_told(setting, remedy):
    ((name, value),) = setting.items()
    with pytest.raises(UsageError, match=rf"{name} is {value}.*{remedy}"):
        Sampling(**setting).check()


def test_draws_follow_the_distribution():
    probs = torch.tensor([0.5, 0.0, 0.25, 0.125, 0.1, 0.025, 0.0], dtype=torch.float64)
    num_draws = 4000
    generators = [torch.Generator().manual_seed(seed) for seed in range(num_draws)]
    counts = draw(probs.expand(num_draws, -1), generators).bincount(minlength=7)
    assert counts[1] == counts[6] == 0
    possible = probs > 0
    expected = num_draws * probs[possible]
    chi_square = ((counts[possible] - expected) ** 2 / expected).sum().item()
    assert chi_square < 18.47  # exceeded by chance once in a thousand with 4 degrees of freedom; the seed is fixed


def test_one_generator_goes_on_and_follows_the_distribution():
    probs = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
    generators = [torch.Generator().manual_seed(5)]
    counts = torch.cat([draw(probs, generators) for _ in range(2000)]).bincount(minlength=3)
    expected = 2000 * probs[0]
    assert ((counts - expected) ** 2 / expected).sum().item() < 13.82  # once in a thousand, 2 degrees of freedom


def test_a_draw_never_falls_off_the_end(monkeypatch):
    probs = torch.tensor([[0.1] * 10 + [0.0]], dtype=torch.float64)  # its sum is 1 - 1e-16
    for uniform, expected in ((0.0, 0), (1 - 2**-53, 9)):
        monkeypatch.setattr(torch, "rand", lambda *_, value=uniform, **__: torch.tensor([value], dtype=torch.float64))
        assert draw(probs, [torch.Generator()]).item() == expected


def test_a_stream_does_not_depend_on_those_beside_it():
    logits = torch.randn(3, 8, generator=torch.Generator().manual_seed(3))

    def written(rows):
        generators = [torch.Generator().manual_seed(row) for row in rows]
        table = torch.randn(8, 8, generator=torch.Generator().manual_seed(4))
        tokens = sample(logits[rows], lambda ids: table[ids], sampling=Sampling(), generators=generators, max_tokens=20)
        return torch.stack(list(tokens), dim=1)

    together = written([0, 1, 2])
    for row in range(3):
        assert torch.equal(written([row])[0], together[row])


def test_the_penalty_sees_what_was_written():
    """With a huge penalty no token comes twice until all have come."""
    seen = torch.zeros(1, 6, dtype=torch.bool)
    sampling = Sampling(greedy=True, repetition_penalty=1e6)
    logits = torch.tensor([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]])
    tokens = sample(
        logits, lambda ids: logits, sampling=sampling, generators=[torch.Generator()], max_tokens=6, seen=seen
    )
    assert [ids.item() for ids in tokens] == [0, 1, 2, 3, 4, 5]
    assert seen.all()


# ---------------------------------------------------------------- stop strings


def cut_by_hand(text, stops):
    places = [text.find(stop) for stop in stops if stop in text]
    return text[: min(places)] if places else text


@settings(deadline=None, max_examples=300)
@given(
    pieces=st.lists(st.text("ab", max_size=4), max_size=10),
    stops=st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
)
def test_the_text_ends_before_the_first_stop_string(pieces, stops):
    buffer = StopBuffer(stops)
    out, stopped = "", False
    for count, piece in enumerate(pieces, start=1):
        out += buffer.push(piece)
        if stopped := buffer.stopped:
            break
        so_far = "".join(pieces[:count])
        # what is held back may begin a stop string; what was handed out can be none
        held = so_far.removeprefix(out)
        assert so_far == out + held
        assert held == "" or any(stop.startswith(held) for stop in stops)
    out += buffer.finish()
    read = "".join(pieces[:count]) if pieces else ""
    assert out == cut_by_hand(read, stops)
    assert stopped == any(stop in read for stop in stops)


def test_nothing_comes_after_the_stop():
    buffer = StopBuffer(["END"])
    assert buffer.push("a END b") == "a "
    assert (buffer.push("c"), buffer.finish()) == ("", "")


def test_one_string_is_a_stop_string_too():
    assert StopBuffer("END").push("the END") == "the "


@pytest.mark.parametrize("stop", [[""], "", ["a", ""]])
def test_an_empty_stop_string_is_refused(stop):
    with pytest.raises(UsageError, match="empty"):
        StopBuffer(stop)
