"""From a picture to what its places show: a small convolutional network."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class PictureEncoder(nn.Module):
    """Three convolutions, after which the picture is an eighth as wide and high, and one layer over all that is left.

    Args:
        size: S, the pictures' side in pixels, a multiple of 8.
        output_size: N.
        channels: of the first convolution; the later ones have two and four times as many.

    Example:
        >>> places, whole = PictureEncoder(32, 10)(torch.zeros(2, 32, 32, 3, dtype=torch.uint8))
        >>> places.shape, whole.shape
        (torch.Size([2, 16, 96]), torch.Size([2, 10]))
    """

    def __init__(self, size: int, output_size: int, channels: int = 24) -> None:
        super().__init__()
        sizes = [channels, 2 * channels, 4 * channels]
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 5, stride=2, padding=2), nn.GroupNorm(8, channels), nn.ReLU()]
        for before, after in pairwise(sizes):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.GroupNorm(8, after), nn.ReLU(), nn.MaxPool2d(2)]
        self.convolutions = nn.Sequential(*layers)
        places = (size // 8) ** 2
        self.position = nn.Parameter(torch.randn(places, sizes[-1]) * 0.1)
        self.output = nn.Linear(places * sizes[-1], output_size)
        self.place_size = sizes[-1]

    def forward(self, pictures: Tensor, lengths: None = None) -> tuple[Tensor, Tensor]:
        """Read pictures (B, S, S, 3) uint8 -> what is seen at each place (B, P, C), row by row; and in all (B, N)."""
        scaled = pictures.permute(0, 3, 1, 2).to(self.output.weight.dtype) / 127.5 - 1  # (B, 3, S, S), -1 to 1
        maps = self.convolutions(scaled).flatten(2).transpose(1, 2)  # (B, P, C)
        return maps + self.position, self.output(maps.flatten(1)).relu()
