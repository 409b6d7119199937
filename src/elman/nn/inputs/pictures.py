"""Encoders of pictures and of precomputed picture features: a vector for each place, and one for the whole picture."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from elman.nn.inputs.numbers import Standardize


class PictureEncoder(nn.Module):
    """A small convolutional encoder: three convolutions shrink the picture eightfold, a dense layer reads the result.

    Args:
        size: S, the width and height of the pictures in pixels, a multiple of 8.
        output_size: N.
        channels: channels of the first convolution; the later ones have two and four times as many.

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
        self.position = nn.Parameter(nn.init.normal_(torch.empty(places, sizes[-1]), std=0.1))
        self.output = nn.Linear(places * sizes[-1], output_size)
        self.place_size = sizes[-1]

    def forward(self, pictures: Tensor, lengths: None = None) -> tuple[Tensor, Tensor]:
        """Encode pictures (B, S, S, 3) uint8: a vector for each place, row by row (B, P, C), and for all (B, N)."""
        scaled = pictures.permute(0, 3, 1, 2).to(self.output.weight.dtype) / 127.5 - 1  # (B, 3, S, S), -1 to 1
        maps = self.convolutions(scaled).flatten(2).transpose(1, 2)  # (B, P, C)
        return maps + self.position, self.output(maps.flatten(1)).relu()


class FeatureEncoder(nn.Module):
    """An encoder of precomputed features: it standardizes them and applies a dense layer to their mean.

    Args:
        features: the mean and the standard deviation of the features, (F,) each.
        output_size: N.
    """

    def __init__(self, features: tuple[Tensor, Tensor], output_size: int) -> None:
        super().__init__()
        self.standardised = Standardize(*features)
        self.output = nn.Linear(len(features[0]), output_size)
        self.place_size = len(features[0])

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode features (B, R, F) of ``lengths`` (B,) regions: standardized, and as one vector (B, N)."""
        numbers = lengths.to(features.device)[:, None]  # (B, 1)
        is_region = torch.arange(features.shape[1], device=features.device) < numbers  # (B, R)
        regions = self.standardised(features) * is_region[..., None]
        return regions, self.output(regions.sum(dim=1) / numbers).relu()
