"""Sequences of different lengths in one batch, time first: (T, B, N), the lengths (B,) on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence


def flip(values: Tensor, lengths: Tensor | None) -> Tensor:
    """Reverse each row of (T, B, N) in time within its true length; padding stays where it is."""
    if lengths is None:
        return values.flip(0)
    time = torch.arange(values.shape[0])[:, None]  # (T, 1)
    source = torch.where(time < lengths, lengths - 1 - time, time).to(values.device)  # (T, B)
    return values.gather(0, source[:, :, None].expand_as(values))


def pack_like(packed: PackedSequence, outputs: Tensor, lengths: Tensor) -> PackedSequence:
    """Pack outputs (T, B, N), with rows in the caller's order, the way the input was packed."""
    if packed.sorted_indices is not None:
        outputs = outputs.index_select(1, packed.sorted_indices)
    sorted_lengths = lengths.sort(descending=True).values
    data = pack_padded_sequence(outputs, sorted_lengths).data
    return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
