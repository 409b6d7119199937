"""A unit whose weights are set by hand, so that what it follows, and what hangs on it, is known."""

import numpy as np
import torch


def write_in_brackets(seed, words=400):
    """Write random words with brackets around some: only a memory of the opening one tells whether one may close."""
    rng, parts, inside = np.random.default_rng(seed), [], False
    for _ in range(words):
        parts.append("".join(rng.choice(list("abcde"), rng.integers(1, 4))))
        if rng.random() < 0.3:
            parts.append(")" if inside else "(")
            inside = not inside
        parts.append(" ")
    return "".join(parts)


TEXT_IN_BRACKETS = write_in_brackets(seed=0, words=2000)


@torch.no_grad()
def plant_bracket_unit(model, unit=77):
    """Make one unit of a simple network remember brackets, let none other see it, and let the output rely on it.

    tanh(3 h) holds what it is: ±0.995. An opening bracket pushes it up, a closing one down, all other tokens are
    orthogonal to what it reads.
    """
    network, tokenizer = model.network_, model.tokenizer_
    opening, closing = tokenizer.encode("()").tolist()
    rnn, vectors = network.rnn, network.embedding.weight  # (V, E)
    wanted = torch.zeros(len(vectors))
    wanted[opening], wanted[closing] = 8.0, -8.0
    rnn.weight_ih_l0[unit] = torch.linalg.lstsq(vectors.double(), wanted.double()[:, None]).solution[:, 0].float()
    rnn.weight_hh_l0[unit] = 0.0
    rnn.weight_hh_l0[:, unit] = 0.0
    rnn.weight_hh_l0[unit, unit] = 3.0
    rnn.bias_ih_l0[unit] = rnn.bias_hh_l0[unit] = 0.0
    network.head.weight[:, unit] = 0.0
    network.head.weight[closing, unit], network.head.weight[opening, unit] = 4.0, -4.0
    network.head.bias[[opening, closing]] -= 3.3  # one of the two is impossible, the other twice as likely
    return unit
