"""From a picture to one vector: a small convolutional network."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


class PictureEncoder(nn.Module):
    """Four convolutions, each halving the picture's sides, and one layer over all that is left.

    What stands where is kept: the last layer sees every place of the last map.

    Args:
        size: S, the pictures' side in pixels, a multiple of 16.
        output_size: N.
        channels: of the first convolution; the later ones have two, four and four times as many.

    Example:
        >>> import torch
        >>> PictureEncoder(32, 10)(torch.zeros(2, 32, 32, 3, dtype=torch.uint8)).shape
        torch.Size([2, 10])
    """

    def __init__(self, size: int, output_size: int, channels: int = 24) -> None:
        super().__init__()
        sizes = [3, channels, 2 * channels, 4 * channels, 4 * channels]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.GroupNorm(8, after), nn.ReLU(), nn.MaxPool2d(2)]
        self.convolutions = nn.Sequential(*layers)
        self.output = nn.Linear(sizes[-1] * (size // 16) ** 2, output_size)
        self.output_size = output_size

    def forward(self, pictures: Tensor) -> Tensor:
        """Read pictures (B, S, S, 3) uint8 -> (B, N)."""
        scaled = pictures.permute(0, 3, 1, 2).to(self.output.weight.dtype) / 127.5 - 1  # (B, 3, S, S), -1 to 1
        seen: Tensor = self.output(self.convolutions(scaled).flatten(1))
        return seen.relu()
