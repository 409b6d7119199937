"""A feed-forward network over a fixed window of inputs, as in the neural language models before recurrent ones."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from elman.draws import dropout
from elman.errors import UsageError
from elman.kernels.checks import check, check_lengths, dtype_beside
from elman.nn.state import State


class Window(nn.Module):
    """A layer that sees only the last ``window`` inputs, with the interface of the recurrent layers.

        h_t = tanh(W [x_{t-N+1}; …; x_t] + b),   N = window; further layers: h_t = tanh(W' h_t + b')

    The state is the last N inputs, zeros at the start. The newest output can be recomputed from it (:meth:`hidden`).

    Source: Bengio, Ducharme, Vincent, Jauvin (2003), "A neural probabilistic language model", JMLR 3, equation 1,
    without the direct connections.

    Args:
        input_size: E, the size of one input.
        hidden_size: H, the size of one output.
        num_layers: how many dense layers there are; the first reads the window.
        window: N, how many inputs each output depends on, including the current one.
        dropout: probability of zeroing an entry between layers while training.

    Raises:
        UsageError: a size is below 1, or dropout is not in 0 … 1.

    Example:
        >>> layer = Window(3, 8, window=4)
        >>> outputs, state = layer(torch.zeros(2, 6, 3))
        >>> outputs.shape, state.shape
        (torch.Size([2, 6, 8]), torch.Size([1, 2, 12]))
    """

    batch_first = True
    bidirectional = False

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, *, window: int = 5, dropout: float = 0.0
    ) -> None:
        super().__init__()
        for name, size in {
            "input_size": input_size,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "window": window,
        }.items():
            if size < 1:
                raise UsageError(f"{name}={size}, expected at least 1")
        if not 0 <= dropout <= 1:
            raise UsageError(f"dropout={dropout}, expected a probability in 0 … 1")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = hidden_size
        self.num_layers = num_layers
        self.window = window
        self.dropout = dropout
        sizes = [window * input_size, *[hidden_size] * num_layers]
        self.layers = nn.ModuleList(nn.Linear(fan_in, fan_out) for fan_in, fan_out in pairwise(sizes))

    def forward(self, input: Tensor, hx: Tensor | None = None, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute an output for every window of inputs.

        Args:
            input: (B, T, E) float, batch first.
            hx: the state, (1, B, N·E): the N inputs before these, oldest first; zeros when None.
            lengths: (B,) integers in 0 … T, each row's true length; all T when None. Padding has no effect.

        Returns:
            Outputs (B, T, H), zero beyond a row's length, and the state after each row's true end, (1, B, N·E).

        Raises:
            UsageError: a shape, a dtype, a device or a length does not fit.
        """
        outputs, state = self.run(input, hx, lengths)
        return outputs, state["inputs"]

    def run(self, inputs: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Run over a batch of sequences and return outputs and final state; see :meth:`forward`."""
        weight: Any = self.layers[0].weight
        check("inputs", inputs, ("B", "T", self.input_size), dtype_beside(weight), weight.device)
        batch_size, num_steps, input_size = inputs.shape
        past = inputs.new_zeros(1, batch_size, self.window * input_size)
        if state is not None:
            past = self.check_state(state, batch_size)["inputs"]
        lengths = (
            torch.full((batch_size,), num_steps) if lengths is None else check_lengths(lengths, batch_size, num_steps)
        )
        lengths = lengths.to(inputs.device)
        padding = torch.arange(num_steps, device=inputs.device) >= lengths[:, None]  # (B, T)
        inputs = inputs.masked_fill(padding[:, :, None], 0.0)

        history = torch.cat((past.reshape(batch_size, self.window, input_size), inputs), dim=1)  # (B, N+T, E)
        windows = torch.cat([history[:, back + 1 : back + 1 + num_steps] for back in range(self.window)], dim=2)
        outputs = self._dense(windows).masked_fill(padding[:, :, None], 0.0)  # (B, T, H)

        rows = torch.arange(batch_size, device=inputs.device)[:, None]  # (B, 1)
        last = lengths[:, None] + torch.arange(self.window, device=inputs.device)  # (B, N): positions in history
        return outputs, State(inputs=history[rows, last].flatten(1)[None])  # (B, T, H), (1, B, N·E)

    def hidden(self, state: Tensor) -> Tensor:
        """Compute the newest output (B, H) from a state (1, B, N·E)."""
        return self.newest(self.check_state(state))

    def newest(self, state: State) -> Tensor:
        """Compute the newest output (B, H) from a state of this layer."""
        return self._dense(state["inputs"][0])

    def check_state(self, hx: Any, batch_size: int | None = None) -> State:
        """Check that a state fits this layer; see :meth:`elman.nn.stack.Recurrent.check_state`."""
        weight: Any = self.layers[0].weight
        sizes = (1, "B" if batch_size is None else batch_size, self.window * self.input_size)
        state = State.of(("inputs",), hx)
        check("the state", state["inputs"], sizes, dtype_beside(weight), weight.device, "(1, B, window·E)")
        return state

    def _dense(self, outputs: Tensor) -> Tensor:
        """Run the dense layers over windows of inputs, oldest first: (..., N·E) to (..., H)."""
        for number, layer in enumerate(self.layers):
            if number > 0:
                outputs = dropout(outputs, self.dropout, self.training, row_dim=0)
            outputs = torch.tanh(layer(outputs))
        return outputs

    def extra_repr(self) -> str:
        """Show the settings in ``repr``."""
        sizes = f"{self.input_size}, {self.hidden_size}, num_layers={self.num_layers}"
        return f"{sizes}, window={self.window}, dropout={self.dropout}"
