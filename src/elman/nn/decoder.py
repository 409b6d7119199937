"""The decoder: a recurrent network that starts from an encoder's state and may attend to its outputs.

encoder ──start──▶ DecoderState ──forward (B,T,E)──▶ attended (B,T,N), DecoderState

    none                         h_t = cell(y_{t-1}, h_{t-1})                                          out_t = h_t
    luong                        the same                     c_t = attention(h_t)        out_t = tanh(C [c_t; h_t])
    luong, with input feeding    h_t = cell([y_{t-1}; out_{t-1}], h_{t-1})                             the same
    bahdanau                     h_t = cell([y_{t-1}; c_t], h_{t-1})   c_t = attention(h_{t-1})        the same

Where no step depends on the attention of the previous one, one call runs the recurrent layers over all steps and
another computes all of the attention. Only input feeding and Bahdanau attention run step by step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from elman.errors import UsageError
from elman.kernels.checks import check, dtype_beside
from elman.nn.attention import Attention, Memory
from elman.nn.cells import CELLS
from elman.nn.state import PublicState, State


class DecoderState(NamedTuple):
    """What a decoder of R rows carries from step to step. K consecutive rows may share one sentence's memory."""

    hidden: State
    """The recurrent state, each part (L, R, H)."""
    fed: Tensor | None
    """The attentional output of the last step, (R, N); None without input feeding."""
    memory: Memory | None
    """The memory of R / K sentences; None without attention."""

    def select(self, sentences: Tensor, rows: Tensor) -> DecoderState:
        """Select sentences (B,) and rows of them (B · K,); rows are numbered over the whole batch."""
        return DecoderState(
            self.hidden.select_rows(rows),
            None if self.fed is None else self.fed[rows],
            None if self.memory is None else self.memory.select(sentences),
        )


class Decoder(nn.Module):
    """Recurrent layers that start from a given state and may attend to a memory at every step.

    Source: Luong, Pham and Manning (2015), "Effective approaches to attention-based neural machine translation",
    equation 5 and section 3.3 (input feeding); Bahdanau, Cho and Bengio (2015), "Neural machine translation by jointly
    learning to align and translate", section 3.1 (with Luong's output layer instead of maxout).

    Args:
        cell: its name in the table of cells.
        input_size: E, the size of a token's embedding.
        hidden_size: H.
        num_layers: L.
        memory_size: M, the size of one encoder output.
        attention: ``bahdanau``, ``luong`` or ``none``.
        input_feeding: feed the attentional output to the next step (``luong`` only).
        dropout: dropout between layers while training.
        backend: see :class:`~elman.nn.recurrent.RNN`.

    Example:
        >>> decoder = Decoder("gru", 4, 8, 1, memory_size=6)
        >>> state = decoder.start(torch.zeros(1, 2, 8), torch.ones(2, 3, 6))
        >>> outputs, state, weights = decoder(torch.ones(2, 5, 4), state)
        >>> outputs.shape, weights.shape
        (torch.Size([2, 5, 8]), torch.Size([2, 5, 3]))
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        memory_size: int = 0,
        attention: str = "luong",
        input_feeding: bool = False,
        dropout: float = 0.0,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.fed_size = memory_size if attention == "bahdanau" else hidden_size if input_feeding else 0
        between = dropout if num_layers > 1 else 0.0
        self.rnn = CELLS[cell].layer(
            input_size + self.fed_size, hidden_size, num_layers, batch_first=True, dropout=between, backend=backend
        )
        self.attention = self.combine = None
        if attention != "none":
            self.attention = Attention(attention, hidden_size, memory_size)
            self.combine = nn.Linear(memory_size + hidden_size, hidden_size, bias=False)  # C

    def start(self, hidden: State | PublicState, outputs: Tensor | None, lengths: Tensor | None = None) -> DecoderState:
        """Start from a recurrent state and, with attention, an encoder's outputs.

        Args:
            hidden: each part (L, B, H).
            outputs: (B, S, M).
            lengths: the lengths (B,) of the outputs; None if all have S positions.

        Raises:
            UsageError: a shape, a dtype or a length does not fit.
        """
        state = self.rnn.check_state(hidden)
        memory = None
        if self.attention is not None:
            if outputs is None:
                raise UsageError("outputs is None, expected the encoder's outputs: the decoder has attention")
            memory = self.attention.remember(outputs, lengths)
            if len(memory.outputs) != state.batch_size:
                rows = f"the outputs have {len(memory.outputs)} rows and the state {state.batch_size}"
                raise UsageError(f"{rows}; the decoder needs the same number of both")
        fed = state["hidden"].new_zeros(state.batch_size, self.fed_size) if self.fed_size else None
        return DecoderState(state, fed, memory)

    def forward(self, inputs: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState, Tensor | None]:
        """Run T steps.

        Args:
            inputs: (R, T, E), at each step the embedding of the token before the one to predict.
            state: the state of R rows.

        Returns:
            The outputs (R, T, H) for the output layer, the state after the last step, and the attention weights
            (R, T, S), None without attention.

        Raises:
            UsageError: a shape or a dtype does not fit, or the state belongs to a different kind of decoder.
        """
        self._check(inputs, state)
        hidden, fed, memory = state
        if fed is None:
            outputs, hidden = self.rnn.run(inputs, hidden)  # (R, T, H)
            outputs, weights = self._attend(outputs, memory)
            return outputs, DecoderState(hidden, None, memory), weights
        steps: list[Tensor] = []
        all_weights: list[Tensor] = []
        for step in range(inputs.shape[1]):
            if self.attention is not None and self.attention.kind == "bahdanau":
                context, weights = self._look_up(hidden["hidden"][-1][:, None], memory)  # (R, 1, M), (R, 1, S)
                output, hidden = self.rnn.run(torch.cat((inputs[:, step : step + 1], context), dim=-1), hidden)
                output = self._combine(context, output)
            else:
                output, hidden = self.rnn.run(torch.cat((inputs[:, step : step + 1], fed[:, None]), dim=-1), hidden)
                output, weights = self._attend(output, memory)
                fed = output[:, 0]
            steps.append(output)
            all_weights.append(weights)
        return torch.cat(steps, dim=1), DecoderState(hidden, fed, memory), torch.cat(all_weights, dim=1)

    def _check(self, inputs: Tensor, state: DecoderState) -> None:
        weight: Any = self.rnn.weight_ih_l0
        dtype, device = dtype_beside(weight), weight.device
        hidden, fed, memory = state
        rows = self.rnn.check_state(hidden).batch_size
        check("the inputs", inputs, (rows, "T", self.rnn.input_size - self.fed_size), dtype, device, "(R, T, E)")
        if (fed is None) != (self.fed_size == 0) or (memory is None) != (self.attention is None):
            raise UsageError("the state belongs to a decoder with different attention; start with decoder.start")
        if fed is not None:
            check("state.fed", fed, (rows, self.fed_size), dtype, device, "(R, N)")
        if memory is not None and (rows % max(len(memory.outputs), 1) or (rows > 0) != (len(memory.outputs) > 0)):
            raise UsageError(f"{rows} rows cannot share the memory of {len(memory.outputs)} sentences evenly")

    def _attend(self, outputs: Tensor, memory: Memory | None) -> tuple[Tensor, Any]:
        """Attend with the outputs (R, T, H) of the recurrent layers as queries, and combine both."""
        if memory is None:
            return outputs, None
        contexts, weights = self._look_up(outputs, memory)
        return self._combine(contexts, outputs), weights

    def _combine(self, contexts: Tensor, outputs: Tensor) -> Tensor:
        assert self.combine is not None
        return torch.tanh(self.combine(torch.cat((contexts, outputs), dim=-1)))

    def _look_up(self, queries: Tensor, memory: Memory | None) -> tuple[Tensor, Tensor]:
        """Attend to the memory of each row's sentence; rows that share a memory are queried together."""
        assert self.attention is not None
        assert memory is not None
        sentences, rows, steps = len(memory.outputs), *queries.shape[:2]
        together = queries.reshape(sentences, rows // max(sentences, 1) * steps, -1)  # (B, K · T, Q)
        contexts, weights = self.attention(together, memory)
        return contexts.view(rows, steps, -1), weights.view(rows, steps, -1)  # (R, T, M), (R, T, S)
