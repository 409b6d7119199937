"""The options --clamp and --ablate: run a model with some of its units set to a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from elman.cli.help import About
from elman.errors import UsageError


@dataclass(kw_only=True)
class Interventions:
    """The units to set after every step; none by default."""

    clamp: tyro.conf.UseAppendAction[Annotated[tuple[str, ...], About(metavar="UNIT=VALUE,...", group="units")]] = ()
    """Set units to values after every step: 0:12 is unit 12 of layer 0, 0r:12 of its reverse direction, 0:c12 of an
    LSTM's cell, encoder.0:12 of a translator's encoder."""
    ablate: tyro.conf.UseAppendAction[Annotated[tuple[str, ...], About(metavar="UNIT,...", group="units")]] = ()
    """Set units to zero after every step."""


def set_units(model: Any, command: Interventions) -> Any:
    """Return the model with its units set as the options say.

    Raises:
        UsageError: there is no such unit, it is given twice, or a value is not a finite number.
    """
    settings = [_split_setting(word) for given in command.clamp for word in given.split(",")]
    settings += [(unit, 0.0) for given in command.ablate for unit in given.split(",")]
    if not settings:
        return model
    from elman.inspection import clamp

    units, values = zip(*settings, strict=True)
    return clamp(model, units, values)


def _split_setting(word: str) -> tuple[str, float]:
    """Split ``UNIT=VALUE``."""
    unit, _, value = word.partition("=")
    try:
        return unit, float(value)
    except ValueError:
        raise UsageError(f"--clamp {word}: write UNIT=VALUE, such as 0:12=1.5") from None
