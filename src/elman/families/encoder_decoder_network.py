"""The network of a model that writes about what it has read: a decoder between an embedding and an output layer."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from elman.data.batching import IGNORED
from elman.nn.decoder import Decoder, DecoderState
from elman.nn.dropout import LockedDropout
from elman.nn.outputs.heads import SoftmaxHead


class EncoderDecoderNetwork(nn.Module):
    """A decoder with its embedding and output layer; what reads the inputs is the task's own.

    Args:
        vocab_size: V.
        cell: of the decoder, as all that follows to memory_size; see :class:`~elman.nn.decoder.Decoder`.
        embedding_size: E.
        hidden_size: H.
        num_layers: L.
        memory_size: M, of what the decoder looks at.
        attention: how it looks.
        input_feeding: whether each step knows what the one before saw.
        tie_weights: whether the embedding's matrix serves as the output layer's.
        dropout: share of the values that are set to zero while training.
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
        """Read the inputs of a batch."""
        raise NotImplementedError

    def forward(self, batch: Any) -> Tensor:
        """Read a batch, its targets told; return the logits (N, V) of its N targets, row by row."""
        outputs, _, _ = self.decoder(self.dropout(self.embedding(batch.inputs)), self.encode_batch(batch))  # (B, T, H)
        logits: Tensor = self.head(self.dropout(outputs)[batch.targets != IGNORED])  # (N, V)
        return logits

    def step(self, ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read one token a row (R,); return the logits (R, V) of what follows, and the state."""
        outputs, state, _ = self.decoder(self.embedding(ids)[:, None], state)  # (R, 1, H)
        return self.head(outputs[:, 0]), state
