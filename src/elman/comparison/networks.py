"""The names of the networks in a comparison: a cell, alone or with a size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from elman.errors import UsageError, suggest
from elman.nn.cells import CELLS

BOTH_DIRECTIONS = tuple(f"{direction}{cell}" for direction in ("", "bi") for cell in CELLS)
"""The kinds of networks where ``bi`` in front of a cell reads in both directions."""


def parse_network(name: str, settings: Any, baselines: Iterable[str], kinds: Iterable[str] = BOTH_DIRECTIONS) -> Any:
    """Return the network that ``kind`` or ``kind:LxH`` names, with all other settings unchanged.

    Args:
        name: the name, such as ``bilstm:2x256`` (layers x hidden size).
        settings: a model with the other settings.
        baselines: the other names that a comparison knows, for the error message.
        kinds: the kinds of networks.

    Raises:
        UsageError: the name or the size is not valid.
    """
    kind, _, size = name.partition(":")
    kinds = tuple(kinds)
    if kind not in kinds:
        known = (*baselines, *kinds)
        raise UsageError(f"model {name}: unknown{suggest(kind, known) or ';'} there are {', '.join(known)}")
    layers, _, hidden = size.rpartition("x")
    directions = {"bidirectional": kind.startswith("bi")} if kinds == BOTH_DIRECTIONS else {}
    try:
        network = replace(
            settings,
            cell=kind.removeprefix("bi"),
            num_layers=int(layers or 1),
            hidden_size=int(hidden) if hidden else settings.hidden_size,
            **directions,
        )
    except ValueError as error:
        raise UsageError(f"model {name}: {size!r} is not a size; write {kind}:LAYERSxUNITS") from error
    try:
        network.check()
    except UsageError as error:
        raise UsageError(f"model {name}: {error}") from error
    return network
