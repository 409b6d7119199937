"""What a report shows of one model: numbers and names, from wherever they come.

Shapes: T time steps, H hidden units, G gates, K lags. Every part but the network may be missing; the report then leaves
its section out.
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
        """The size of what a layer hands on."""
        return self.hidden_size * (self.directions if self.merge == "concat" else 1)

    @property
    def rows(self) -> int:
        """The rows of W and U: a block of H for each gate."""
        return self.hidden_size * max(len(self.gates), 1)


@dataclass(frozen=True, kw_only=True)
class ParameterRow:
    """One tensor that the network learns."""

    name: str
    """As in the saved model, such as ``rnn.weight_hh_l0``."""
    symbol: str
    """What the equations call it: ``W``, ``U``, ``V``, ``b``; empty where they have no letter."""
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return int(np.prod(self.shape))


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """A network as its diagrams show it."""

    stacks: tuple[StackPlan, ...]
    """One, or an encoder and a decoder."""
    parameters: tuple[ParameterRow, ...]
    num_outputs: int
    """O: rows of V."""
    reads: str = "token"
    """What one time step reads: ``token``, ``word``, ``event``, ``numbers`` …"""
    vocabulary: int | None = None
    """Rows of the embedding; None where numbers are read."""
    pooling: str | None = None
    """How all states of a sequence become one: ``last``, ``mean``, ``max``, ``attention``; None where every step has an
    output of its own."""
    crf: bool = False
    attention: str | None = None
    """How the decoder looks at what was read; None where it does not."""
    regions: tuple[int, int] | None = None
    """Rows and columns of the picture's regions, from which the decoder's first state is made."""
    features: int = 0
    """Numbers in each region."""


# ---------------------------------------------------------------- one sequence


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is added up inside a small cell, for the equation with its numbers: (T, G·H) and (G·H,)."""

    from_input: Array
    """W x_t."""
    from_hidden: Array
    """U h_{t-1}; zeros where the cell does not read it."""
    bias_input: Array
    bias_hidden: Array


@dataclass(frozen=True, kw_only=True)
class LayerStates:
    """One layer and direction over a sequence, by time, whichever way the layer reads."""

    layer: int
    hidden: Array
    """(T, H)."""
    is_reverse: bool = False
    cell: Array | None = None
    """(T, H), of an LSTM."""
    gates: Mapping[str, Array] = field(default_factory=dict)
    """Each gate by name (T, H)."""
    start: Mapping[str, Array] = field(default_factory=dict)
    """The state before the first step that it reads: ``hidden`` and ``cell`` (H,) each; zeros where missing."""
    sizes: Array | None = None
    """(T, 2): the 2-norms of W x_t and of U h_{t-1}."""
    terms: Terms | None = None

    @property
    def name(self) -> str:
        """``layer 1``, and the direction where it is the reverse."""
        return f"layer {self.layer + 1}" + (", backward" if self.is_reverse else "")


@dataclass(frozen=True, kw_only=True)
class StackRun:
    """A stack over a sequence."""

    tokens: Sequence[str]
    """What each of the T steps reads."""
    layers: Sequence[LayerStates]


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What the network says, and how wrong it is: a row for each of N outputs."""

    steps: Sequence[int]
    """The time step of the last stack that each output belongs to."""
    names: Sequence[Sequence[str]]
    """The likeliest answers, best first."""
    probabilities: Sequence[Sequence[float]]
    targets: Sequence[str | None]
    losses: Sequence[float | None]
    """In nats."""
    target_probabilities: Sequence[float | None]


# ---------------------------------------------------------------- what was measured


@dataclass(frozen=True, kw_only=True)
class GradientCurve:
    """|d loss_t / d state| for lag 1 … K, of one part of the state of one layer and direction."""

    name: str
    """Such as ``layer 1 · h``."""
    norms: Array
    """(R, K): of R losses; NaN where a lag lies outside the input."""
    origins: Sequence[int]
    """(R,) the time steps that lags are counted from."""
    mean: Array
    lower: Array
    """The quartiles over targets, (K,) each."""
    upper: Array
    reach: int | None
    """The lag at which the mean falls below 1/e of that at lag 1; None where it never does."""
    reach_percent: int | None
    """The lag at which it falls below 1 %."""
    stack: str = ""
    """Whose state it is; the last one's where empty."""
    is_reverse: bool = False
    """Whether its lags count to the right."""


@dataclass(frozen=True, kw_only=True)
class GradientPlot:
    """Gradients by lag, and what they mean."""

    targets: Sequence[int]
    """(R,) the outputs whose losses were sent back."""
    curves: Sequence[GradientCurve]
    verdict: str
    """One word or two: ``healthy``, ``vanishing``, ``exploding`` …"""
    explanation: str
    remedy: str = ""
    truncated_at: int | None = None
    """How many steps training goes back."""


@dataclass(frozen=True, kw_only=True)
class ContextPlot:
    """The loss when the model may look back only so many tokens."""

    lags: Sequence[int]
    losses: Sequence[float]
    ngram_losses: Sequence[float] | None = None
    whole: float | None = None
    """The loss with all that came before."""
    unit: str = "nats per token"


@dataclass(frozen=True, kw_only=True)
class Holding:
    """How much of each input the vector holds from which a classifier decides."""

    name: str
    """Such as ``last state, forward``."""
    shares: Array
    """(T,), adding up to 1."""


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
    """What chance reaches: the same for shuffled labels."""
    is_reverse: bool = False
    effect: str = ""
    """What setting it to another value changes, in words."""


@dataclass(frozen=True, kw_only=True)
class AttributionPlot:
    """Which inputs decided one output."""

    target: str
    """What was decided, such as ``"e" at step 12``."""
    method: str
    scores: Array
    """(S,), one for each input."""
    tokens: Sequence[str]
    completeness: float | None = None
    """How far the scores' sum is from the difference of outputs that they should explain, as a share of it."""
    regions: tuple[int, int] | None = None
    """Rows and columns, where the inputs are regions of a picture."""


@dataclass(frozen=True, kw_only=True)
class ModelReport:
    """All that is shown of one model."""

    name: str
    """The folder, or what the model is called."""
    task: str
    """Such as ``Language model``."""
    network: NetworkPlan
    source: str = ""
    """Where the sequence comes from, and how much of it is shown."""
    runs: Mapping[str, StackRun] = field(default_factory=dict)
    """By the name of the stack."""
    outputs: Outputs | None = None
    attention: Array | None = None
    """(N, S): a row for each of the decoder's steps."""
    gradients: GradientPlot | None = None
    context: ContextPlot | None = None
    holding: Sequence[Holding] = ()
    units: Sequence[UnitScore] = ()
    attributions: Sequence[AttributionPlot] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    """Figures for the head of the page, by name."""
    notes: Sequence[str] = ()
    """What a reader must know, such as what was cut off."""

    def _repr_html_(self) -> str:
        """Show the page in a notebook, in a frame of its own."""
        from elman.drawing.report.page import html

        return f'<iframe srcdoc="{escape(html(self))}" sandbox="allow-scripts" width="100%" height="800"></iframe>'
