"""How texts are searched for, or drawn: flags of every command whose model writes about what it reads."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from elman.cli.flags import with_flags
from elman.decoding.options import Search
from elman.errors import UsageError

SEARCH = tuple(field.name for field in fields(Search))


@dataclass(kw_only=True)
class Searching:
    """The flags; what is not given is as the model was trained."""

    beam_size: int | None = None
    """Texts that are kept at every step of the search; what the model was trained with where not given, as the next
    two (translator and captioner only)."""
    length_penalty: float | None = None
    """Log-probabilities are divided by the length to this power when texts are compared."""
    temperature: float | None = None
    """Above 0: draw the tokens, their logits divided by this, in place of searching."""
    seed: int | None = None
    """The same seed draws the same texts; the model's where not given."""


def search_of(command: Any, model: Any, call: Callable[..., Any]) -> dict[str, Any]:
    """Return the option ``search`` of a call on a model, where a command has some of the flags.

    Raises:
        UsageError: the call has no such option, or a value is outside its limits.
    """
    given = {name: value for name in SEARCH if (value := getattr(command, name, None)) is not None}
    if not given:
        return {}
    if "search" not in inspect.signature(call).parameters:
        raise UsageError(f"`{next(iter(given))}` is no option of a model of task {model.task}; leave it out")
    search = replace(model.search, **given)
    try:
        search.check()
    except UsageError as error:
        raise UsageError(with_flags(str(error), SEARCH)) from None
    return {"search": search}
