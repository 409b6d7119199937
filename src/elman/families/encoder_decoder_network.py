"""The network of the encoder-decoder models: a decoder with its embedding and output layer, and any encoder."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from elman.data.batching import IGNORED
from elman.nn.decoder import Decoder, DecoderState
from elman.nn.dropout import LockedDropout
from elman.nn.outputs.heads import SoftmaxHead


class EncoderDecoderNetwork(nn.Module):
    """A decoder with its embedding and output layer; a subclass adds the encoder.

    Args:
        vocab_size: V.
        cell: the decoder's cell; see :class:`~elman.nn.decoder.Decoder`.
        embedding_size: E.
        hidden_size: H.
        num_layers: L.
        memory_size: M, the size of the encoder outputs that the decoder attends to.
        attention: the kind of attention.
        input_feeding: whether each step also reads the attention's result of the step before.
        tie_weights: whether the embedding and the output layer share a matrix.
        dropout: share of values set to zero during training.
        backend: see :class:`~elman.nn.recurrent.RNN`.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        cell: str,
        embedding_size: int,
        hidden_size: int,
        num_layers: int,
        memory_size: int,
        attention: str,
        input_feeding: bool = False,
        tie_weights: bool,
        dropout: float,
        backend: str,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)
        self.dropout = LockedDropout(dropout)
        self.decoder = Decoder(
            *(cell, embedding_size, hidden_size, num_layers, memory_size, attention, input_feeding, dropout, backend)
        )
        self.head = SoftmaxHead(hidden_size, vocab_size, self.embedding if tie_weights else None)

    def encode_batch(self, batch: Any) -> DecoderState:
        """Encode the inputs of a batch; return the decoder's first state."""
        raise NotImplementedError

    def forward(self, batch: Any) -> Tensor:
        """Return the inputs (N, H) of the output layer for the N targets of a batch, with teacher forcing."""
        outputs, _, _ = self.decoder(self.dropout(self.embedding(batch.inputs)), self.encode_batch(batch))  # (B, T, H)
        hidden: Tensor = self.dropout(outputs)[batch.targets != IGNORED]  # (N, H)
        return hidden

    def step(self, ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read one token per row (R,); return the logits (R, V) of the next token, and the new state."""
        outputs, state, _ = self.decoder(self.embedding(ids)[:, None], state)  # (R, 1, H)
        return self.head(outputs[:, 0]), state
