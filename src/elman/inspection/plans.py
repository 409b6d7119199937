"""The structure of a model's network, as the report draws it."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from elman.drawing import report as drawn
from elman.families.base import Model
from elman.families.saved.description import named_shapes
from elman.families.unrolled import Stack, Unrolled

_READS = {"char": "character", "word": "word", "space": "word"}  # by level; others read tokens


def plan_network(model: Model, unrolled: Unrolled) -> drawn.NetworkPlan:
    """Describe a network: its stacks, what is around them, and its parameters."""
    network: Any = model.network_
    attention = getattr(getattr(network, "decoder", None), "attention", None)
    pooling, front = getattr(network, "pooling", None), getattr(network, "front", None)
    embedding = next((module for module in network.modules() if isinstance(module, nn.Embedding)), None)
    return drawn.NetworkPlan(
        stacks=tuple(_plan_stack(name, stack) for name, stack in unrolled.stacks.items()),
        parameters=tuple(
            drawn.ParameterRow(name=name, symbol=symbol, shape=shape) for name, shape, symbol in named_shapes(network)
        ),
        num_outputs=len(unrolled.names),
        reads=_READS.get(getattr(model, "level", ""), "token"),
        vocabulary=None if embedding is None else embedding.num_embeddings,
        pooling=None if pooling is None else pooling.kind,
        crf=getattr(network, "crf", None) is not None,
        attention=None if attention is None else attention.kind,
        regions=find_regions(unrolled),
        features=front.place_size if unrolled.places and front is not None else 0,
    )


def find_regions(unrolled: Unrolled) -> tuple[int, int] | None:
    """Return the rows and columns of a picture's regions; None if the inputs are tokens."""
    places = len(unrolled.places)
    side = math.isqrt(places)
    return None if not places else (side, side) if side * side == places else (1, places)


def _plan_stack(name: str, stack: Stack) -> drawn.StackPlan:
    layer = stack.layer
    return drawn.StackPlan(
        name=name,
        cell=layer.cell_name,
        gates=layer.cell.gates,
        state=layer.cell.state,
        input_size=layer.input_size,
        hidden_size=layer.hidden_size,
        num_layers=layer.num_layers,
        directions=layer.num_directions,
        merge=layer.merge,
        reads_hidden=layer.cell.reads_hidden,
    )
