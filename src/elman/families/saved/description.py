"""Descriptions of a fitted model: its parameters and their symbols, the library versions, the model card."""

from __future__ import annotations

import platform
import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from torch import nn

from elman.documents import write_json


def num_parameters(network: nn.Module) -> int:
    """Return the number of trained parameters; time steps share them, so it does not depend on the sequence length."""
    return sum(parameter.numel() for parameter in network.parameters())


def named_shapes(network: nn.Module) -> list[tuple[str, tuple[int, ...], str]]:
    """Return the name, shape and symbol in the equations of :mod:`elman.nn.reference` of every parameter."""
    return [(name, tuple(parameter.shape), equation_symbol(name)) for name, parameter in network.named_parameters()]


def equation_symbol(name: str) -> str:
    """Return the symbol of a parameter in the equations, with its layer.

    Example:
        >>> equation_symbol("rnn.weight_hh_l0"), equation_symbol("head.weight")
        ('U (hidden to hidden), layer 1', 'V (hidden to output)')
        >>> equation_symbol("rnn.peephole_l1_reverse")
        'layer 2, right to left'
    """
    symbols = {
        "weight_ih": "W (input to hidden)",
        "weight_hh": "U (hidden to hidden)",
        "bias_ih": "b1 (the part added to W x)",
        "bias_hh": "b1 (the part added to U h)",
        "head.projection": "a projection before V",
        "layers.0.weight": "W (window to hidden)",
        "attention.queries": "W of the attention score",
        "attention.keys": "U of the attention score",
        "attention.score": "v of the attention score",
        "combine.weight": "C (context and hidden to output)",
        "head.weight": "V (hidden to output)",
        "head.bias": "b2",
        "head.parts.weight": "F (hidden to parts of the outputs)",
        "head.parts.bias": "c",
        "embedding.weight": "x_t, one row per token",
        "initial_": "h_0",
    }
    symbol = next((symbol for part, symbol in symbols.items() if part in name), "")
    layer = re.search(r"_l(\d+)(_reverse)?$", name)
    if layer is None:
        return symbol
    direction = ", right to left" if layer[2] else ""
    return f"{symbol + ', ' if symbol else ''}layer {int(layer[1]) + 1}{direction}"


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that a result depends on."""
    packages = ("elman", "torch", "numpy", "lightning-fabric", "tokenizers", "safetensors", "miditok", "symusic")
    found = {"python": platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):  # an optional package that is not installed
            found[name] = version(name)
    return found


def model_card(model: Any) -> str:
    """Return the model card in Markdown: the data, the figures, the settings, and how to load the model."""
    lines = [f"# {type(model).__name__}", "", f"Trained with Elman {version('elman')}.", ""]
    if warning := model.metrics_.get("warning"):
        lines += [f"> **Warning.** {warning}", ""]
    lines += ["## Data", ""]
    lines += [f"- {name}: {write_json(value)}" for name, value in model.data_.items()]
    if duplicates := model.metrics_.get("duplicates"):
        lines.append(f"- {duplicates:,} held-out {model.held_out_noun} are also in the training data")
    for title, part in (("Validation", "valid"), ("Training", "train")):
        values = model.metrics_.get(part, {})  # empty for an unfinished training
        lines += ["", f"## {title}", "", "| figure | value |", "|---|---|"]
        lines += [f"| {name} | {value:.6g} |" for name, value in values.items()]
    if baselines := model.metrics_.get("baseline"):
        lines += ["", "## Baselines on the same validation data", "", "| baseline | figures |", "|---|---|"]
        for name, values in baselines.items():
            lines.append(f"| {name} | {', '.join(f'{figure} {value:.6g}' for figure, value in values.items())} |")
    if verdict := model.metrics_.get("verdict"):
        lines += ["", f"Gradients by lag: {verdict}."]
    lines += ["", f"{num_parameters(model.network_):,} parameters.", "", "## Settings", "", "| setting | value |"]
    lines += ["|---|---|", *(f"| {name} | {value} |" for name, value in model.to_json().items())]
    lines += ["", "## Use", "", "```python", "import elman", "", 'model = elman.load("THIS FOLDER")', "```", ""]
    return "\n".join(lines)
