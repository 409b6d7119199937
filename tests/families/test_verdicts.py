"""Verdicts: the rule that each follows, and what it suggests."""

import numpy as np
import pytest

from elman.families.missed import Missed
from elman.families.verdicts import diagnose


def falling(by, lags=100):
    return by ** np.arange(lags, dtype=float)


class Fitted:
    """As much of a fitted model as the verdict looks at."""

    def __init__(self, train=1.0, valid=1.2, targets=1_000_000, parameters=100_000, **settings):
        self.settings = {"cell": "lstm", "lines": False, "bptt_length": 64, "learning_rate": 0.002, "hidden_size": 128}
        self.settings |= {"clip_norm": 1.0, "forget_bias": 0.0, **settings}
        self.history_ = [{"train_nats": train, "nats_per_token": valid, "targets": targets}]
        self.metrics_ = {"parameters": parameters}

    def get_params(self):
        return self.settings

    def settled(self):
        return self


def classifier(pooling="last", **settings):
    """Return a model without some settings of a language model, and with pooling."""
    model = Fitted(pooling=pooling, **settings)
    model.settings = {name: value for name, value in model.settings.items() if name not in ("lines", "forget_bias")}
    return model


FAR, NEAR, NEWEST = Missed({20: 9.0}), Missed({2: 9.0}), Missed({0: 9.0})
BOTH = Missed({0: 8.0, 20: 9.0})
GATES = ["--cell lstm", "--forget-bias 2.0"]


@pytest.mark.parametrize(
    ("model", "curve", "missed", "kind", "flags"),
    [
        # vanishing: a token is missed where the gradient is below 5 %
        (Fitted(), falling(0.6), FAR, "vanishing", ["--forget-bias 2.0"]),
        (Fitted(cell="rnn"), falling(0.6), FAR, "vanishing", GATES),
        (Fitted(cell="gru"), falling(0.6), FAR, "vanishing", GATES),
        (Fitted(lines=True), falling(0.6), FAR, "vanishing", ["--forget-bias 2.0"]),
        (Fitted(), falling(0.6), Missed({-20: 9.0}), "vanishing", ["--forget-bias 2.0"]),
        (classifier(cell="rnn"), falling(0.6), FAR, "vanishing", ["--pooling max"]),
        (classifier(pooling="mean", cell="rnn"), falling(0.6), FAR, "vanishing", ["--cell gru"]),
        (classifier(pooling="mean", cell="gru"), falling(0.6), FAR, "healthy", []),
        (Fitted(attention="none"), falling(0.6), FAR, "vanishing", ["--attention luong"]),
        (Fitted(forget_bias=2.0), falling(0.6), FAR, "healthy", []),
        (Fitted(), falling(0.9), FAR, "healthy", []),
        (Fitted(), falling(0.6), NEAR, "healthy", []),
        (Fitted(), falling(0.6), Missed({2: 8.0, 20: 9.0}), "vanishing", ["--forget-bias 2.0"]),
        (Fitted(), falling(0.6), Missed({2: 9.0, 20: 8.0}), "healthy", []),
        (Fitted(), falling(0.6), None, "healthy", []),
        # truncation too short: a token beyond bptt_length is missed, or the gradient there is still large
        (Fitted(bptt_length=8), falling(0.7), FAR, "truncation too short", ["--bptt-length 40"]),
        (Fitted(bptt_length=8), falling(0.9), NEAR, "healthy", []),
        (Fitted(bptt_length=8), falling(0.9), None, "truncation too short", ["--bptt-length 32"]),
        (Fitted(bptt_length=8, lines=True), falling(0.9), None, "healthy", []),
        (Fitted(), falling(0.98), None, "healthy", []),
        (Fitted(), falling(0.995), None, "truncation too short", ["--bptt-length 256"]),
        (Fitted(bptt_length=200), falling(0.99), None, "healthy", []),
        # exploding: gradients grow, or do not fall and drown what is near
        (Fitted(), falling(1.05), None, "exploding", ["--learning-rate 0.0005"]),
        (Fitted(clip_norm=0.0), falling(1.05), None, "exploding", ["--learning-rate 0.0005", "--clip-norm 1.0"]),
        (Fitted(cell="rnn"), np.array([1.0, np.inf]), None, "exploding", ["--cell gru"]),
        (Fitted(), 1.1 ** np.arange(60.0), Missed({50: 9.0}), "healthy", []),
        (Fitted(bptt_length=100), falling(0.995), NEAR, "exploding", ["--learning-rate 0.0005"]),
        (Fitted(bptt_length=200), falling(0.995), Missed({60: 9.0}), "healthy", []),
        (classifier(), np.arange(1, 31.0), None, "exploding", ["--learning-rate 0.0005"]),
        (classifier(pooling="mean"), np.arange(1, 31.0), None, "healthy", []),
        # too small: the newest token is missed, after many targets, and not by learning the training data by heart
        (Fitted(parameters=9_000, valid=1.01), falling(0.85), NEWEST, "too small", ["--hidden-size 512"]),
        (Fitted(parameters=9_000, valid=1.01), falling(0.85), NEAR, "too small", ["--hidden-size 512"]),
        (Fitted(parameters=9_000, valid=1.0), falling(0.6), BOTH, "too small", ["--hidden-size 512"]),
        (Fitted(parameters=9_000, valid=1.01), falling(0.6), FAR, "vanishing", ["--forget-bias 2.0"]),
        (Fitted(parameters=9_000, valid=1.01), falling(0.85), None, "healthy", []),
        (Fitted(parameters=9_000, valid=1.1), falling(0.85), NEWEST, "healthy", []),
        (Fitted(parameters=9_000, valid=1.01, targets=800_000), falling(0.85), NEWEST, "healthy", []),
        (Fitted(valid=1.01), falling(0.85), NEWEST, "healthy", []),
    ],
)  # fmt: skip
def test_a_verdict_and_its_remedy(model, curve, missed, kind, flags):
    verdict = diagnose(model, curve, 30, missed)
    assert (verdict.kind, [remedy.flag for remedy in verdict.remedies]) == (kind, flags)
    assert all(flag in verdict.text for flag in flags)
    for remedy in verdict.remedies:
        assert eval(f"dict({remedy.python})") == {remedy.setting: remedy.value}


def test_what_a_healthy_model_is_told():
    """Gradients that vanish are a reason to try something only if nobody knows what is missed."""
    text = diagnose(Fitted(cell="gru"), falling(0.6), 30).text
    assert text == "gradients reach 10 steps back; if more than that matters, try --cell lstm --forget-bias 2.0"
    assert diagnose(Fitted(), falling(0.9), 30).text == "gradients reach 44 steps back; nothing to change"
    text = diagnose(Fitted(), falling(0.6), 30, NEAR).text
    assert text.endswith("its errors depend on the token 2 steps before, which it may still learn")


@pytest.mark.parametrize(("missed", "side"), [(FAR, "before"), (Missed({-20: 9.0}), "after")])
def test_the_side_on_which_a_missed_token_stands(missed, side):
    text = diagnose(Fitted(lines=True), falling(0.6), 30, missed).text
    assert (
        f"gradients at lag 20 are 0.0% of those at lag 1, but its errors depend on the token 20 steps {side};" in text
    )
    assert "20 steps back" not in text
