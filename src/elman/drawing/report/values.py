"""The data of a report.

Shapes: T time steps, H hidden units, G gates, K lags. Every part except the network may be missing; the page then
leaves out its section.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating[Any]]


# ---------------------------------------------------------------- the network


@dataclass(frozen=True, kw_only=True)
class StackPlan:
    """One stack of recurrent layers."""

    name: str
    """``rnn``, ``encoder`` or ``decoder``."""
    cell: str
    """``rnn``, ``gru``, ``lstm``, or another."""
    input_size: int
    hidden_size: int
    gates: tuple[str, ...] = ()
    state: tuple[str, ...] = ("hidden",)
    num_layers: int = 1
    directions: int = 1
    merge: str = "concat"
    reads_hidden: bool = True
    """Whether the gates read h_{t-1}, through U."""

    @property
    def output_size(self) -> int:
        """The size of a layer's output."""
        return self.hidden_size * (self.directions if self.merge == "concat" else 1)

    @property
    def rows(self) -> int:
        """The rows of W and U: a block of H for each gate."""
        return self.hidden_size * max(len(self.gates), 1)


@dataclass(frozen=True, kw_only=True)
class ParameterRow:
    """A parameter of the network."""

    name: str
    """The name in the saved model, such as ``rnn.weight_hh_l0``."""
    symbol: str
    """The symbol in the equations: ``W``, ``U``, ``V`` or ``b``; empty if there is none."""
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """The structure of a network, as the diagrams show it."""

    stacks: tuple[StackPlan, ...]
    """One, or an encoder and a decoder."""
    parameters: tuple[ParameterRow, ...]
    num_outputs: int
    """The number of rows of V."""
    reads: str = "token"
    """What one time step reads, such as ``token``, ``word`` or ``character``."""
    vocabulary: int | None = None
    """The number of rows of the embedding; None if the inputs are numbers."""
    pooling: str | None = None
    """How the states of a sequence are pooled: ``last``, ``mean``, ``max`` or ``attention``; None if every step has an
    output."""
    crf: bool = False
    attention: str | None = None
    """The kind of the decoder's attention; None without attention."""
    regions: tuple[int, int] | None = None
    """Rows and columns of the picture's regions, from which the decoder's initial state is computed."""
    features: int = 0
    """The number of features of each region."""


# ---------------------------------------------------------------- one sequence


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The terms that a small cell adds up, for the worked equation: (T, G·H) each, and (G·H,) each for the biases."""

    from_input: Array
    """W x_t."""
    from_hidden: Array
    """U h_{t-1}; zeros if the cell does not read h_{t-1}."""
    bias_input: Array
    bias_hidden: Array


@dataclass(frozen=True, kw_only=True)
class LayerStates:
    """The states of one layer and direction over a sequence, in order of time for both directions."""

    layer: int
    hidden: Array
    """(T, H)."""
    is_reverse: bool = False
    cell: Array | None = None
    """(T, H), for an LSTM."""
    gates: Mapping[str, Array] = field(default_factory=dict)
    """The gates by name, (T, H) each."""
    start: Mapping[str, Array] = field(default_factory=dict)
    """The initial state of this direction: ``hidden`` and ``cell``, (H,) each; zeros if missing."""
    sizes: Array | None = None
    """(T, 2): the 2-norms of W x_t and of U h_{t-1}."""
    terms: Terms | None = None

    @property
    def name(self) -> str:
        """The name on the page, such as ``layer 1`` or ``layer 1, backward``."""
        return f"layer {self.layer + 1}" + (", backward" if self.is_reverse else "")


@dataclass(frozen=True, kw_only=True)
class StackRun:
    """A run of a stack over a sequence."""

    tokens: Sequence[str]
    """The input of each of the T steps."""
    layers: Sequence[LayerStates]


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The network's predictions and losses, one row for each of N outputs."""

    steps: Sequence[int]
    """The time step of each output in the last stack."""
    names: Sequence[Sequence[str]]
    """The most likely outputs, best first."""
    probabilities: Sequence[Sequence[float]]
    targets: Sequence[str | None]
    losses: Sequence[float | None]
    """In nats."""
    target_probabilities: Sequence[float | None]


# ---------------------------------------------------------------- measurements


@dataclass(frozen=True, kw_only=True)
class GradientCurve:
    """|d loss_t / d state| at lags 1 to K, for one part of the state of one layer and direction."""

    name: str
    """The name on the page, such as ``layer 1 · h``."""
    norms: Array
    """(R, K), for R losses; NaN if a lag lies outside the input."""
    origins: Sequence[int]
    """The time step that the lags of each loss are counted from, (R,)."""
    mean: Array
    lower: Array
    """The lower quartile over the losses, (K,)."""
    upper: Array
    """The upper quartile, (K,)."""
    reach: int | None
    """The lag at which the mean falls below 1/e of that at lag 1; None if it does not."""
    reach_percent: int | None
    """The lag at which it falls below 1 %."""
    stack: str = ""
    """The name of the stack; the last stack if empty."""
    is_reverse: bool = False
    """Whether lags count to the right."""


@dataclass(frozen=True, kw_only=True)
class GradientPlot:
    """Gradients by lag, and the verdict on them."""

    targets: Sequence[int]
    """The outputs whose losses were differentiated, (R,)."""
    curves: Sequence[GradientCurve]
    verdict: str
    """One or two words, such as ``healthy``, ``vanishing`` or ``exploding``."""
    explanation: str
    remedy: str = ""
    truncated_at: int | None = None
    """The number of steps after which training truncates gradients."""


@dataclass(frozen=True, kw_only=True)
class ContextPlot:
    """The loss with limited context."""

    lags: Sequence[int]
    losses: Sequence[float]
    ngram_losses: Sequence[float | None] | None = None
    """Those of n-gram models with the same context; None beyond the longest n-gram."""
    whole: float | None = None
    """The loss with the full context."""
    unit: str = "nats per token"


@dataclass(frozen=True, kw_only=True)
class Holding:
    """How much of each input the last state of a sequence holds."""

    name: str
    """The name on the page, such as ``last state, forward``."""
    shares: Array
    """The share of each input, (T,); the shares sum to 1."""


@dataclass(frozen=True, kw_only=True)
class UnitScore:
    """A unit that follows a feature of the text."""

    feature: str
    layer: int
    part: str
    """``hidden``, ``cell`` or the name of a gate."""
    unit: int
    score: float
    measure: str = "AUC"
    bound: float | None = None
    """The chance level of the score."""
    is_reverse: bool = False
    effect: str = ""
    """What setting the unit to zero does to the loss; empty if unknown."""


@dataclass(frozen=True, kw_only=True)
class AttributionPlot:
    """The contributions of the inputs to one output."""

    target: str
    """The output, such as ``"e" at step 12``."""
    method: str
    scores: Array
    """The contribution of each input, (S,)."""
    tokens: Sequence[str]
    completeness: float | None = None
    """The relative error of the scores' sum, compared with the difference of outputs that it should equal."""
    regions: tuple[int, int] | None = None
    """Rows and columns, if the inputs are regions of a picture."""


@dataclass(frozen=True, kw_only=True)
class ModelReport:
    """The report on one model."""

    name: str
    """The folder or the name of the model."""
    task: str
    """The name of the task, such as ``Language model``."""
    network: NetworkPlan
    source: str = ""
    """The source of the input, and how many of its steps are shown."""
    runs: Mapping[str, StackRun] = field(default_factory=dict)
    """The runs by the name of the stack."""
    outputs: Outputs | None = None
    attention: Array | None = None
    """(N, S), one row for each step of the decoder."""
    gradients: GradientPlot | None = None
    context: ContextPlot | None = None
    holding: Sequence[Holding] = ()
    units: Sequence[UnitScore] = ()
    attributions: Sequence[AttributionPlot] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    """The figures at the top of the page, by name."""
    notes: Sequence[str] = ()
    """Notes for the reader, such as that the input was cut."""
    attributed: str = ""
    """How much of the input the attribution covers; empty if it is all of it."""

    def _repr_html_(self) -> str:
        """Return the page in a frame, for a notebook."""
        from elman.drawing.report.page import html

        return f'<iframe srcdoc="{escape(html(self))}" sandbox="allow-scripts" width="100%" height="800"></iframe>'
