"""Recurrent networks written as their equations: plain float64 loops, and backpropagation through time by hand.

Read this file to see what a recurrent network computes. It is slow; everything fast is tested against it.

    x (T,B,I) ──forward──▶ outputs (T,B,H), state, trace ──output_layer──▶ logits (T,B,O) ──cross_entropy──▶ loss (nats)
    d_x, d_state, d_weights ◀──backward── d_outputs ◀──output_layer_backward── d_logits (T,B,O) ◀──cross_entropy──┘

The lecture's equations, and the shapes behind them (T time steps, B rows, I inputs, H hidden units, O outputs):

    h_t = g(U h_{t-1} + W x_t + b1)      W (G·H, I), U (G·H, H), with G gates: 1 for RNN, 3 for GRU, 4 for LSTM
    y_t = softmax(V h_t + b2)            V (O, H);  every time step shares W, U, V and the biases

PyTorch stores b1 as a sum of two vectors, b_ih + b_hh, and so does this file; in the GRU the two play different roles.

The contract of a cell. A cell sees the input only through ``W x_t + b_ih``, and the past only through
``U h_{t-1} + b_hh`` and, except for the RNN, the previous state itself. So a cell is two functions for one time step:

    forward(from_input (B, G·H), from_hidden (B, G·H), state)  ->  new state, values saved for backward
    backward(d_state, saved)  ->  d_from_input, d_from_hidden, gradient of the previous state that bypasses U

A state is a tuple of (B, H) arrays: ``(h,)``, or ``(h, c)`` for the LSTM. ``d_name`` is the gradient of the loss with
respect to ``name`` and has its shape. The matrix products and their gradients are the same for every cell: ``step`` and
``step_backward``. In the cells, ``d_a`` is the gradient of the argument of a sigmoid or tanh.
"""

# The capitals W, U and V of the lecture are intentional.
# ruff: noqa: N803, N806, N815

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from elman.errors import UsageError, suggest

Array = NDArray[np.float64]
StateTuple = tuple[Array, ...]  # (h,) or (h, c), each (B, H)
Saved = tuple[Array, ...]  # the values a cell's backward needs


class Weights(NamedTuple):
    """The parameters of a layer, shared by every time step; also used for their gradients."""

    W: Array  # (G·H, I)  weight_ih: input to hidden
    U: Array  # (G·H, H)  weight_hh: hidden to hidden
    b_ih: Array  # (G·H,)
    b_hh: Array  # (G·H,)


class Step(NamedTuple):
    """The values of one time step that its backward step needs."""

    x: Array  # (B, I)
    h: Array  # (B, H)  the state before the step
    saved: Saved


class Gradients(NamedTuple):
    """The result of ``backward``: the gradient of the loss with respect to every input."""

    x: Array  # (T, B, I)
    state: StateTuple  # of the initial state, each (B, H)
    weights: Weights


# ---------------------------------------------------------------- the cells


class Cell(Protocol):
    """The contract described at the top of this file."""

    gates: int
    num_states: int

    def forward(self, from_input: Array, from_hidden: Array, state: StateTuple) -> tuple[StateTuple, Saved]:
        """Compute one time step for a batch of rows."""

    def backward(self, d_state: StateTuple, saved: Saved) -> tuple[Array, Array, StateTuple]:
        """Compute the gradients of that step."""


@dataclass(frozen=True)
class RNN:
    """The simple recurrent network: h = g(W x + b_ih + U h + b_hh), with g = tanh or relu.

    Source: Elman (1990), "Finding structure in time", Cognitive Science 14; relu: Le, Jaitly, Hinton (2015),
    arXiv:1504.00941.
    """

    g: Callable[[Array], Array]
    slope: Callable[[Array], Array]  # g'(a), computed from h = g(a)
    gates = 1
    num_states = 1

    def forward(self, from_input: Array, from_hidden: Array, state: StateTuple) -> tuple[StateTuple, Saved]:
        """Return the new state (h,) and h itself, from which the slope is computed."""
        h = self.g(from_input + from_hidden)  # (B, H)
        return (h,), (h,)

    def backward(self, d_state: StateTuple, saved: Saved) -> tuple[Array, Array, StateTuple]:
        """Differentiate g; the previous state enters only through U."""
        (d_h,), (h,) = d_state, saved
        d_a = d_h * self.slope(h)  # (B, H)
        return d_a, d_a, (np.zeros_like(d_h),)


class GRU:
    """The gated recurrent unit in PyTorch's form: the reset gate acts after the product with U. Gate order r, z, n.

        r = sigmoid(W_r x + b_ih_r + U_r h + b_hh_r)          reset gate
        z = sigmoid(W_z x + b_ih_z + U_z h + b_hh_z)          update gate
        n = tanh(W_n x + b_ih_n + r * (U_n h + b_hh_n))       candidate
        h = (1 - z) * n + z * h

    Source: Cho et al. (2014), arXiv:1406.1078, equations 5 to 8, where r acts on h before U and z stands for 1 - z;
    this form is that of torch.nn.GRU and cuDNN.
    """

    gates = 3
    num_states = 1

    def forward(self, from_input: Array, from_hidden: Array, state: StateTuple) -> tuple[StateTuple, Saved]:
        """Return the new state (h,) and the gates."""
        (h_past,) = state
        x_r, x_z, x_n = np.split(from_input, 3, axis=1)  # each (B, H)
        h_r, h_z, h_n = np.split(from_hidden, 3, axis=1)  # each (B, H)
        r = sigmoid(x_r + h_r)
        z = sigmoid(x_z + h_z)
        n = np.tanh(x_n + r * h_n)
        h = (1 - z) * n + z * h_past
        return (h,), (r, z, n, h_n, h_past)

    def backward(self, d_state: StateTuple, saved: Saved) -> tuple[Array, Array, StateTuple]:
        """Differentiate the equations, from last to first."""
        (d_h,), (r, z, n, h_n, h_past) = d_state, saved
        d_n = d_h * (1 - z)
        d_z = d_h * (h_past - n)
        d_a_n = d_n * (1 - n**2)
        d_h_n = d_a_n * r
        d_r = d_a_n * h_n
        d_a_z = d_z * z * (1 - z)
        d_a_r = d_r * r * (1 - r)
        d_from_input = np.concatenate((d_a_r, d_a_z, d_a_n), axis=1)  # (B, 3H)
        d_from_hidden = np.concatenate((d_a_r, d_a_z, d_h_n), axis=1)  # (B, 3H)
        return d_from_input, d_from_hidden, (d_h * z,)


class LSTM:
    """The long short-term memory: gates write to, keep and read a cell c. Gate order i, f, g, o.

        i = sigmoid(W_i x + b_ih_i + U_i h + b_hh_i)          input gate
        f = sigmoid(W_f x + b_ih_f + U_f h + b_hh_f)          forget gate
        g = tanh(W_g x + b_ih_g + U_g h + b_hh_g)             candidate
        o = sigmoid(W_o x + b_ih_o + U_o h + b_hh_o)          output gate
        c = f * c + i * g
        h = o * tanh(c)

    Source: Hochreiter and Schmidhuber (1997), Neural Computation 9(8); with the forget gate of Gers, Schmidhuber,
    Cummins (2000), Neural Computation 12(10); torch.nn.LSTM.
    """

    gates = 4
    num_states = 2

    def forward(self, from_input: Array, from_hidden: Array, state: StateTuple) -> tuple[StateTuple, Saved]:
        """Return the new state (h, c) and the gates."""
        _, c_past = state
        a_i, a_f, a_g, a_o = np.split(from_input + from_hidden, 4, axis=1)  # each (B, H)
        i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
        c = f * c_past + i * g
        h = o * np.tanh(c)
        return (h, c), (i, f, g, o, c, c_past)

    def backward(self, d_state: StateTuple, saved: Saved) -> tuple[Array, Array, StateTuple]:
        """Differentiate the equations, from last to first; c affects the next step's c and this step's h."""
        (d_h, d_c), (i, f, g, o, c, c_past) = d_state, saved
        d_o = d_h * np.tanh(c)
        d_c = d_c + d_h * o * (1 - np.tanh(c) ** 2)
        d_i, d_f, d_g = d_c * g, d_c * c_past, d_c * i
        d_a = np.concatenate(
            (d_i * i * (1 - i), d_f * f * (1 - f), d_g * (1 - g**2), d_o * o * (1 - o)), axis=1
        )  # (B, 4H)
        return d_a, d_a, (np.zeros_like(d_h), d_c * f)


class MinGRU:
    """The minimal GRU: no gate reads the previous state, so U and b_hh have no rows. Gate order z, n.

        z = sigmoid(W_z x + b_ih_z)          update gate
        n = W_n x + b_ih_n                   candidate
        h = (1 - z) * h + z * n

    Source: Feng et al. (2024), "Were RNNs all we needed?", arXiv:2410.01201, section 3.1.
    """

    gates = 2
    num_states = 1

    def forward(self, from_input: Array, from_hidden: Array, state: StateTuple) -> tuple[StateTuple, Saved]:
        """Return the new state (h,) and the gates."""
        (h_past,) = state
        a_z, n = np.split(from_input, 2, axis=1)  # each (B, H)
        z = sigmoid(a_z)
        h = (1 - z) * h_past + z * n
        return (h,), (z, n, h_past, from_hidden)

    def backward(self, d_state: StateTuple, saved: Saved) -> tuple[Array, Array, StateTuple]:
        """Differentiate the equations, from last to first; there is no U."""
        (d_h,), (z, n, h_past, from_hidden) = d_state, saved
        d_z = d_h * (n - h_past)
        d_from_input = np.concatenate((d_z * z * (1 - z), d_h * z), axis=1)  # (B, 2H)
        return d_from_input, np.zeros_like(from_hidden), (d_h * (1 - z),)


CELLS: dict[str, Cell] = {
    "rnn_tanh": RNN(np.tanh, slope=lambda h: 1 - h**2),
    "rnn_relu": RNN(lambda a: np.maximum(0, a), slope=lambda h: np.where(h > 0, 1.0, 0.0)),
    "gru": GRU(),
    "lstm": LSTM(),
    "mingru": MinGRU(),
}


def cell_named(name: str) -> Cell:
    """Look up a cell: ``"rnn_tanh"``, ``"rnn_relu"``, ``"gru"``, ``"lstm"`` or ``"mingru"``.

    Raises:
        UsageError: the name is unknown.

    Example:
        >>> cell_named("gru").gates
        3
    """
    if name not in CELLS:
        raise UsageError(f'there is no cell "{name}"; choose from {", ".join(CELLS)}{suggest(name, CELLS)}')
    return CELLS[name]


def sigmoid(a: Array) -> Array:
    """Compute 1 / (1 + exp(-a)), written with tanh so that a large ``a`` does not overflow.

    Example:
        >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    half: Array = 0.5 * (1 + np.tanh(0.5 * a))
    return half


# ---------------------------------------------------------------- one step, and whole sequences


def step(cell: Cell, x: Array, state: StateTuple, weights: Weights) -> tuple[StateTuple, Step]:
    """Compute one time step of any cell: h_t = cell(W x_t + b_ih, U h_{t-1} + b_hh, state).

    Takes x (B, I) and the state before the step. Returns the state after it, and the values for ``step_backward``.
    """
    W, U, b_ih, b_hh = weights
    h = state[0]
    state, saved = cell.forward(x @ W.T + b_ih, h @ U.T + b_hh, state)  # (B, G·H) and (B, G·H) in
    return state, Step(x, h, saved)


def step_backward(cell: Cell, d_state: StateTuple, done: Step, weights: Weights) -> tuple[Array, StateTuple, Weights]:
    """Compute the gradients of one time step: the chain rule through the cell, then through its two matrix products.

    Takes the gradient of the state after the step. Returns the gradients of x (B, I), of the state before the step, and
    of the weights (the contribution of this step).
    """
    x, h, saved = done
    d_from_input, d_from_hidden, d_past = cell.backward(d_state, saved)  # (B, G·H), (B, G·H)
    d_x = d_from_input @ weights.W  # (B, I)
    d_h = d_past[0] + d_from_hidden @ weights.U  # (B, H)
    d_weights = Weights(d_from_input.T @ x, d_from_hidden.T @ h, d_from_input.sum(0), d_from_hidden.sum(0))
    return d_x, (d_h, *d_past[1:]), d_weights


def zero_state(cell: Cell, batch_size: int, hidden_size: int) -> StateTuple:
    """Return the initial state h_0 = 0 (and c_0 = 0).

    Example:
        >>> hidden, cell = zero_state(cell_named("lstm"), batch_size=2, hidden_size=3)
        >>> hidden.shape
        (2, 3)
    """
    return tuple(np.zeros((batch_size, hidden_size)) for _ in range(cell.num_states))


def forward(
    cell: Cell, x: Array, weights: Weights, state: StateTuple | None = None
) -> tuple[Array, StateTuple, list[Step]]:
    """Run a cell over a whole sequence, step by step.

    Args:
        cell: one of ``CELLS``.
        x: (T, B, I) float64, time first.
        weights: the shared parameters.
        state: the initial state, each (B, H); zeros when None.

    Returns:
        Outputs h_1 … h_T (T, B, H), the final state, and the trace, one ``Step`` per time step.

    Raises:
        UsageError: x does not fit W.

    Example:
        >>> weights = Weights(W=np.array([[1.0]]), U=np.array([[0.5]]), b_ih=np.zeros(1), b_hh=np.zeros(1))
        >>> outputs, state, trace = forward(cell_named("rnn_relu"), np.ones((3, 1, 1)), weights)
        >>> outputs.ravel().tolist()
        [1.0, 1.5, 1.75]
    """
    hidden_size, input_size = weights.U.shape[1], weights.W.shape[1]
    if x.ndim != 3 or x.shape[2] != input_size:
        raise UsageError(f"x has shape {x.shape}, expected (T, B, {input_size}): the columns of W {weights.W.shape}")
    if state is None:
        state = zero_state(cell, x.shape[1], hidden_size)
    outputs = np.empty((len(x), x.shape[1], hidden_size))  # (T, B, H)
    trace = []
    for t, x_t in enumerate(x):
        state, done = step(cell, x_t, state, weights)
        outputs[t] = state[0]
        trace.append(done)
    return outputs, state, trace


def backward(
    cell: Cell,
    weights: Weights,
    trace: list[Step],
    d_outputs: Array,
    d_final: StateTuple | None = None,
    bptt_length: int | None = None,
) -> Gradients:
    """Backpropagate through time: walk the trace from its end and sum the contributions of all steps.

    h_t affects the loss at time t (``d_outputs[t]``) and all later steps (``d_state``, from step t+1). Truncated
    backpropagation counts later steps only within the same chunk of ``bptt_length`` steps: the gradient that would flow
    into the previous chunk is dropped, as if the state were detached there and the losses of all chunks were summed.

    Source: Werbos (1990), "Backpropagation through time", Proceedings of the IEEE 78(10); truncated: Williams and Peng
    (1990), Neural Computation 2(4).

    Args:
        cell: the cell of the forward pass.
        weights: its parameters.
        trace: the trace that ``forward`` returned.
        d_outputs: (T, B, H), the gradient of the loss with respect to the outputs.
        d_final: the gradient with respect to the final state, each (B, H); zeros when None.
        bptt_length: steps per chunk, counted from the first; None for the whole sequence.

    Returns:
        Gradients of x, of the initial state and of the weights.

    Raises:
        UsageError: ``bptt_length`` is below 1, or ``d_outputs`` is not as long as the trace.

    Example:
        >>> weights = Weights(W=np.array([[1.0]]), U=np.array([[0.5]]), b_ih=np.zeros(1), b_hh=np.zeros(1))
        >>> outputs, state, trace = forward(cell_named("rnn_relu"), np.ones((3, 1, 1)), weights)
        >>> last_only = np.array([0.0, 0.0, 1.0]).reshape(3, 1, 1)
        >>> backward(cell_named("rnn_relu"), weights, trace, last_only).x.ravel().tolist()
        [0.25, 0.5, 1.0]
        >>> backward(cell_named("rnn_relu"), weights, trace, last_only, bptt_length=2).x.ravel().tolist()
        [0.0, 0.0, 1.0]
    """
    if bptt_length is not None and bptt_length < 1:
        raise UsageError(f"bptt_length={bptt_length}, expected at least 1 (or None for the whole sequence)")
    if len(d_outputs) != len(trace):
        raise UsageError(f"d_outputs has {len(d_outputs)} time steps, expected the trace's {len(trace)}")
    batch_size, hidden_size = d_outputs.shape[1:]
    zeros = zero_state(cell, batch_size, hidden_size)
    d_state = zeros if d_final is None else d_final
    d_weights = Weights(*(np.zeros_like(weight) for weight in weights))
    d_x = np.empty((len(trace), batch_size, weights.W.shape[1]))  # (T, B, I)
    for t in reversed(range(len(trace))):
        d_state = (d_state[0] + d_outputs[t], *d_state[1:])
        d_x[t], d_state, of_step = step_backward(cell, d_state, trace[t], weights)
        d_weights = Weights(*(total + part for total, part in zip(d_weights, of_step, strict=True)))
        if bptt_length is not None and t % bptt_length == 0 and t > 0:
            d_state = zeros
    return Gradients(d_x, d_state, d_weights)


# ---------------------------------------------------------------- the output layer and the loss


def output_layer(h: Array, V: Array, b2: Array) -> Array:
    """Compute logits = V h + b2, for h (T, B, H), V (O, H), b2 (O,); returns (T, B, O)."""
    logits: Array = h @ V.T + b2  # (T, B, O)
    return logits


def output_layer_backward(d_logits: Array, h: Array, V: Array) -> tuple[Array, Array, Array]:
    """Compute the gradients of h (T, B, H), V (O, H) and b2 (O,) from that of the logits (T, B, O)."""
    d_h = d_logits @ V  # (T, B, H)
    d_V = np.einsum("tbo,tbh->oh", d_logits, h)  # (O, H)
    return d_h, d_V, d_logits.sum((0, 1))


def softmax(logits: Array) -> Array:
    """Turn logits into probabilities over the last axis, shifted by the largest logit to avoid overflow.

    Example:
        >>> softmax(np.array([1000.0, 1000.0])).tolist()
        [0.5, 0.5]
    """
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities: Array = exponentials / exponentials.sum(-1, keepdims=True)
    return probabilities


def cross_entropy(logits: Array, targets: NDArray[np.integer]) -> tuple[float, Array]:
    """Compute the negative log-likelihood of the targets and its gradient.

        loss = sum over t, b of -log softmax(logits)[target], in nats
        d loss / d logits = softmax(logits) - one_hot(target)

    Args:
        logits: (T, B, O).
        targets: (T, B) integers in 0 … O-1.

    Returns:
        The loss, summed over time steps and rows, and d_logits (T, B, O).

    Example:
        >>> loss, d_logits = cross_entropy(np.zeros((1, 1, 2)), np.array([[1]]))
        >>> round(loss, 4), d_logits.ravel().tolist()
        (0.6931, [0.5, -0.5])
    """
    shifted = logits - logits.max(-1, keepdims=True)  # (T, B, O)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))  # (T, B, O)
    at_target = np.eye(logits.shape[-1])[targets]  # (T, B, O)
    return float(-(log_probabilities * at_target).sum()), softmax(logits) - at_target


class LanguageModelPass(NamedTuple):
    """One forward and backward pass of the lecture's language model."""

    loss: float  # nats, summed over time steps and rows
    logits: Array  # (T, B, O)
    state: StateTuple  # the final state, to start the next chunk from
    d_weights: Weights
    d_V: Array  # (O, H)
    d_b2: Array  # (O,)
    d_state: StateTuple  # of the initial state


def language_model(
    cell: Cell,
    ids: NDArray[np.integer],
    weights: Weights,
    V: Array,
    b2: Array,
    state: StateTuple | None = None,
    bptt_length: int | None = None,
) -> LanguageModelPass:
    """Run the whole computation: read ids, predict each next one, and differentiate the summed loss.

    x_t is the one-hot vector of ids[t], so W x_t is a column of W. The target at time t is ids[t+1].

    Args:
        cell: one of ``CELLS``.
        ids: (T+1, B) integers in 0 … O-1, time first.
        weights: the parameters of the recurrent layer, with W (G·H, O).
        V: (O, H), hidden to output.
        b2: (O,), the output's bias.
        state: the initial state, each (B, H); zeros (h_0 = 0) when None.
        bptt_length: steps per chunk of truncated backpropagation; None for the whole sequence.

    Returns:
        The loss in nats, the logits, the final state, and every gradient.

    Example:
        >>> draw = np.random.default_rng(0).standard_normal
        >>> weights = Weights(W=draw((3, 4)), U=draw((3, 3)), b_ih=np.zeros(3), b_hh=np.zeros(3))
        >>> ids = np.array([[0], [1], [2], [3]])
        >>> untrained = language_model(cell_named("rnn_tanh"), ids, weights, V=np.zeros((4, 3)), b2=np.zeros(4))
        >>> round(untrained.loss / 3, 4), round(float(np.log(4)), 4)  # a uniform guess: log 4 nats per target
        (1.3863, 1.3863)
    """
    inputs, targets = ids[:-1], ids[1:]
    x = np.eye(len(V))[inputs]  # (T, B, O)
    h, final, trace = forward(cell, x, weights, state)  # (T, B, H)
    logits = output_layer(h, V, b2)  # (T, B, O)
    loss, d_logits = cross_entropy(logits, targets)
    d_h, d_V, d_b2 = output_layer_backward(d_logits, h, V)
    gradients = backward(cell, weights, trace, d_h, bptt_length=bptt_length)
    return LanguageModelPass(loss, logits, final, gradients.weights, d_V, d_b2, gradients.state)
