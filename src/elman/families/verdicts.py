"""A verdict on a model from its gradients by lag, with the setting to change.

The verdict looks at the mean gradient at lag k, relative to that at lag 1, up to the span that the model learns over:
its ``bptt_length`` where it is trained on a stream, else the length of its inputs.

    exploding              somewhere it is more than 10, or is not finite
    truncation too short   at lag bptt_length it is still 0.1 or more (from 32 steps on, 0.5 or more): training cut off
                           gradients that reach further back
    vanishing              it falls below 1 % within half the span, and over the span by a factor below 0.7 a step
    too small              the validation loss is within 3 % of the training loss, and there is less than one parameter
                           for 25 tokens of training data or, if the number of tokens is unknown, fewer than 16 units
    healthy                none of these

An LSTM with closed gates and a freshly initialised simple RNN lose about half of the gradient at each step; a trained
LSTM or GRU loses a quarter or less on any text. That is why the limit is 0.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.families.saved.description import num_parameters

EXPLODING = 10.0
CUT_OFF = 0.1
CUT_OFF_FAR = 0.5
FAR = 32  # steps
VANISHED = 0.01
KEPT_PER_STEP = 0.7
SAME_LOSS = 0.03
TOKENS_PER_PARAMETER = 25
FEW_UNITS = 16

Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Remedy:
    """A setting to change."""

    setting: str
    value: str | int | float

    @property
    def flag(self) -> str:
        """As a flag, such as ``--cell gru``."""
        return f"--{self.setting.replace('_', '-')} {self.value}"

    @property
    def python(self) -> str:
        """As a Python argument, such as ``cell="gru"``."""
        value = f'"{self.value}"' if isinstance(self.value, str) else self.value
        return f"{self.setting}={value}"


@dataclass(frozen=True)
class Verdict:
    """A diagnosis of a model from its gradients by lag."""

    kind: str
    """``healthy``, ``vanishing``, ``exploding``, ``truncation too short`` or ``too small``."""
    text: str
    """The verdict as a sentence, with its figures."""
    remedies: tuple[Remedy, ...] = ()
    """Settings to change, all of them together; none for a healthy model."""

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as a JSON object."""
        remedies = [{"flag": one.flag, "python": one.python} for one in self.remedies]
        return {"kind": self.kind, "text": self.text, "remedies": remedies}


def diagnose(model: Any, curve: Curve, length: int, history: Sequence[dict[str, Any]] | None = None) -> Verdict:
    """Diagnose a model from its gradients.

    Args:
        model: the fitted model.
        curve: the mean gradient at lags 1 to K (K,), over all layers and parts of the state; K is at least 1.
        length: the number of steps of an input.
        history: the rows of the training log; by default the model's own.
    """
    settings = model.settled().get_params()
    is_stream = settings.get("lines") is False  # a language model that reads its text as one stream
    span = settings["bptt_length"] if is_stream else length
    with np.errstate(invalid="ignore"):  # where all are infinite
        relative = curve / curve[0] if curve[0] > 0 else np.where(curve > 0, np.inf, 1.0)
    if not np.isfinite(curve).all() or np.nanmax(relative) > EXPLODING:
        worst = int(np.nanargmax(np.where(np.isfinite(relative), relative, np.inf))) + 1
        rate = float(settings["learning_rate"]) / 4
        remedies = [Remedy("learning_rate", float(f"{rate:.2g}")), *_add_gates(settings)]
        grown = f"{relative[worst - 1]:.3g} times" if np.isfinite(relative[worst - 1]) else "without limit"
        return _make_verdict(
            "exploding", f"gradients grow on their way back: at lag {worst} they are {grown} those at lag 1", remedies
        )
    if is_stream and span <= len(curve) and relative[span - 1] >= (CUT_OFF if span < FAR else CUT_OFF_FAR):
        longer = max(4 * span, 32)
        what = f"gradients at lag {span} are still {relative[span - 1]:.0%} of those at lag 1, but `bptt_length` {span}"
        return _make_verdict("truncation too short", f"{what} cuts them off", [Remedy("bptt_length", longer)])
    last = min(span, len(curve))
    reach = next((lag for lag, share in enumerate(relative, start=1) if share < VANISHED), None)
    kept = float(relative[last - 1]) ** (1 / max(last - 1, 1))
    if reach is not None and reach <= span / 2 and kept < KEPT_PER_STEP:
        text = f"gradients reach {reach - 1} steps back and then are below 1 %, but the model learns over {span}"
        return _make_verdict("vanishing", f"{text}: each step keeps {kept:.0%}", _keep_longer(settings))
    if small := _explain_small(model, settings, model.history_ if history is None else history):
        return _make_verdict("too small", small, [Remedy("hidden_size", 4 * int(settings["hidden_size"]))])
    far = f"{reach - 1} steps back" if reach is not None else f"further than {len(curve)} steps back"
    return Verdict("healthy", f"gradients reach {far}; nothing to change")


def _make_verdict(kind: str, what: str, remedies: list[Remedy]) -> Verdict:
    flags = " ".join(remedy.flag for remedy in remedies)
    return Verdict(kind, f"{what}; try {flags}", tuple(remedies))


def _add_gates(settings: dict[str, Any]) -> list[Remedy]:
    """Suggest a cell with gates for a simple RNN, which has none."""
    return [Remedy("cell", "gru")] if settings["cell"] == "rnn" else []


def _keep_longer(settings: dict[str, Any]) -> list[Remedy]:
    """Suggest settings that keep the state for longer."""
    if settings["cell"] == "lstm" and settings.get("forget_bias", 2.0) < 2.0:
        return [Remedy("forget_bias", 2.0)]
    if settings["cell"] != "gru":
        return [Remedy("cell", "gru")]
    bias = [Remedy("forget_bias", 2.0)] if "forget_bias" in settings else []
    return [Remedy("cell", "lstm"), *bias]


def _explain_small(model: Any, settings: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """Explain why a model is too small for its data; return an empty text if it is not, or if that is unknown."""
    history = rows[-1] if rows else {}
    train = history.get("train_nats")
    valid = next((value for name, value in history.items() if name.startswith("nats_per_")), None)
    if train is None or valid is None or valid > (1 + SAME_LOSS) * train:
        return ""
    parameters = model.metrics_.get("parameters") or num_parameters(model.network_)
    tokens = model.data_.get("train_tokens")
    same = f"its loss on the training data ({train:.3g} nats) is no better than on held-out data ({valid:.3g})"
    if tokens is None:
        units = int(settings["hidden_size"])
        return f"{same}, with {units} units" if units < FEW_UNITS else ""
    if parameters * TOKENS_PER_PARAMETER >= tokens:
        return ""
    return f"{same}, and it has {parameters:,} parameters for {tokens:,} tokens of training data"
