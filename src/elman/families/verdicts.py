"""A verdict on a model from its gradients by lag and from what it misses, with the setting to change.

A gradient that vanishes is no fault in itself: a model that needs no memory learns to forget. So each verdict but the
first also takes evidence that something is missed: a token that the model's errors still depend on
(:mod:`elman.families.missed`). Gradients are the mean at each lag, relative to that at lag 1.

    exploding              gradients grow tenfold on their way back, beyond any token that is missed, or are not finite;
                           or they keep half their size over the whole span while a token less than half as far back
                           is missed: what is long past drowns it
    too small              a token is missed that gradients reach, or the newest one, after 100 or more targets to learn
                           from for each parameter, with a loss on held-out data within 3 % of that in training
    truncation too short   on a stream, the token is further back than ``bptt_length``; or none is known to be missed
                           and gradients are still 10 % there (from 32 steps on, 50 %)
    vanishing              the token is so far back that the gradient there is below 5 %
    healthy                none of these; if gradients vanish within half the span and none is known to be missed, the
                           text says what to try if the data hold longer dependencies

A token is missed if the errors depend on it; if on several, the one they depend on most counts.
The span is the ``bptt_length`` of a model that is trained on a stream, else the length of its inputs.
``benchmarks/verdicts.py`` follows the verdicts on tasks whose dependencies are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.families.missed import Missed
from elman.families.saved.description import num_parameters

EXPLODING = 10.0
UNDAMPED = 0.5  # of the gradient at lag 1, over the whole span
CUT_OFF = 0.1
CUT_OFF_FAR = 0.5
FAR = 32  # steps
VANISHED = 0.05
REACHED = 0.01  # of the gradient at lag 1; gradients reach as far as they are above this
SAME_LOSS = 0.03
TARGETS_PER_PARAMETER = 100
OPEN_GATES = 2.0  # a forget bias

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


def diagnose(
    model: Any,
    curve: Curve,
    length: int,
    missed: Missed | None = None,
    history: Sequence[dict[str, Any]] | None = None,
) -> Verdict:
    """Diagnose a model from its gradients.

    Args:
        model: the fitted model.
        curve: the mean gradient at lags 1 to K (K,), over all layers and parts of the state; K is at least 1.
        length: the number of steps of an input.
        missed: the token that the model's errors depend on most; None if there is none, or it is not known.
        history: the rows of the training log; by default the model's own.
    """
    settings = model.settled().get_params()
    is_stream = settings.get("lines") is False  # a language model that reads its text as one stream
    span = settings["bptt_length"] if is_stream else length
    with np.errstate(invalid="ignore"):  # where all are infinite
        relative = curve / curve[0] if curve[0] > 0 else np.where(curve > 0, np.inf, 1.0)
    if grown := _explain_growth(settings, relative, span, missed):
        return _make_verdict("exploding", grown, _damp(settings))
    distance = missed.distance if missed else 0
    is_far = 0 < distance <= len(relative) and relative[distance - 1] < VANISHED
    rows = model.history_ if history is None else history
    if missed and (missed.is_newest_missed or not is_far) and (small := _explain_small(model, rows, missed)):
        return _make_verdict("too small", small, [Remedy("hidden_size", 4 * int(settings["hidden_size"]))])
    if is_stream and (cut := _explain_cut(relative, span, missed)):
        return _make_verdict("truncation too short", cut, [Remedy("bptt_length", max(4 * span, 2 * distance, 32))])
    reach = find_reach(relative, REACHED)
    how_far = f"{reach - 1} steps back" if reach is not None else f"further than {len(curve)} steps back"
    if missed and is_far and (remedies := _keep_longer(settings)):
        what = f"gradients at lag {distance} are {relative[distance - 1]:.1%} of those at lag 1, but its errors"
        return _make_verdict("vanishing", f"{what} depend on {missed}", remedies)
    if missed:
        return Verdict("healthy", f"gradients reach {how_far}; its errors depend on {missed}, which it may still learn")
    if reach is not None and reach <= span / 2 and (remedies := _keep_longer(settings)):
        return Verdict("healthy", f"gradients reach {how_far}; if more than that matters, try {_flags(remedies)}")
    return Verdict("healthy", f"gradients reach {how_far}; nothing to change")


def find_reach(mean: Curve, share: float) -> int | None:
    """Return the first lag at which a mean (K,) is below a share of that at lag 1; None if there is none.

    Example:
        >>> find_reach(np.array([8.0, 4.0, 2.0, 1.0]), 0.3)
        3
    """
    below = np.flatnonzero(mean < share * mean[0])
    return int(below[0]) + 1 if len(below) else None


def _make_verdict(kind: str, what: str, remedies: list[Remedy]) -> Verdict:
    return Verdict(kind, f"{what}; try {_flags(remedies)}", tuple(remedies))


def _flags(remedies: Sequence[Remedy]) -> str:
    return " ".join(remedy.flag for remedy in remedies)


def _explain_growth(settings: dict[str, Any], relative: Curve, span: int, missed: Missed | None) -> str:
    """Explain why gradients explode; return an empty text if they do not."""
    is_pooled = settings.get("pooling", "last") != "last"  # such a loss adds up over all steps
    most = EXPLODING * (np.arange(1, len(relative) + 1) if is_pooled else 1)
    is_finite = np.isfinite(relative)
    grown = np.flatnonzero(~is_finite | (relative > most))
    is_used = missed is not None and len(grown) > 0 and missed.distance > grown[0]  # what is missed lies as far back
    if len(grown) and not (is_finite.all() and is_used):
        worst = int(np.argmax(np.where(is_finite, relative, np.inf)))
        how = f"{relative[worst]:.3g} times" if is_finite[worst] else "without limit"
        return f"gradients grow on their way back: at lag {worst + 1} they are {how} those at lag 1"
    last = min(span, len(relative))
    if missed and 2 * missed.distance < last and relative[:last].min() >= UNDAMPED:
        what = (
            f"gradients do not fall on their way back: at lag {last} they are {relative[last - 1]:.0%} of those at lag"
        )
        return f"{what} 1, and drown {missed}"
    return ""


def _explain_cut(relative: Curve, span: int, missed: Missed | None) -> str:
    """Explain what truncated backpropagation cuts off; return an empty text if nothing."""
    if missed:
        what = f"its errors depend on {missed}, but `bptt_length` {span} cuts gradients off"
        return what if missed.distance > span else ""
    if span <= len(relative) and relative[span - 1] >= (CUT_OFF if span < FAR else CUT_OFF_FAR):
        what = f"gradients at lag {span} are still {relative[span - 1]:.0%} of those at lag 1, but `bptt_length` {span}"
        return f"{what} cuts them off"
    return ""


def _damp(settings: dict[str, Any]) -> list[Remedy]:
    """Suggest settings against gradients that grow: a cell with gates for a simple RNN, else smaller steps."""
    clip = [] if 0 < settings["clip_norm"] <= 1 else [Remedy("clip_norm", 1.0)]
    if settings["cell"] == "rnn":
        return [Remedy("cell", "gru"), *clip]
    return [Remedy("learning_rate", float(f"{float(settings['learning_rate']) / 4:.2g}")), *clip]


def _keep_longer(settings: dict[str, Any]) -> list[Remedy]:
    """Suggest settings that bring gradients over more steps; none if there are none left to try."""
    if settings.get("pooling") == "last":
        return [Remedy("pooling", "max")]
    if settings.get("attention") == "none":
        return [Remedy("attention", "luong")]
    if "forget_bias" not in settings:
        return [Remedy("cell", "gru")] if settings["cell"] != "gru" else []
    if settings["cell"] != "lstm":
        return [Remedy("cell", "lstm"), Remedy("forget_bias", OPEN_GATES)]
    return [Remedy("forget_bias", OPEN_GATES)] if settings["forget_bias"] < OPEN_GATES else []


def _explain_small(model: Any, rows: Sequence[dict[str, Any]], missed: Missed) -> str:
    """Explain why a model is too small for its data; return an empty text if it is not, or if that is unknown."""
    history = rows[-1] if rows else {}
    train, targets = history.get("train_nats"), history.get("targets") or 0
    valid = next((value for name, value in history.items() if name.startswith("nats_per_")), None)
    parameters = model.metrics_.get("parameters") or num_parameters(model.network_)
    if train is None or valid is None or valid > (1 + SAME_LOSS) * train:
        return ""
    if targets < TARGETS_PER_PARAMETER * parameters:
        return ""
    token = "the newest token" if missed.is_newest_missed else missed
    what = f"its errors depend on {token} after {targets:,} targets for {parameters:,} parameters"
    return f"{what}, and its loss in training ({train:.3g} nats) is no better than on held-out data ({valid:.3g})"
