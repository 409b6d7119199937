"""How texts are searched for or drawn: options of the commands whose model writes texts."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Annotated, Any

from elman.cli.help import About
from elman.decoding.options import Search
from elman.errors import UsageError
from elman.models.tasks import TASKS

SEARCH = tuple(field.name for field in fields(Search))
_AS_TRAINED = About(group="search", default="as in training")


@dataclass(kw_only=True)
class Searching:
    """The options; what is not given is as the model was trained."""

    beam_size: Annotated[int | None, _AS_TRAINED] = None
    """Hypotheses kept at every step of the beam search (translators and captioners only, as the options below)."""
    length_penalty: Annotated[float | None, _AS_TRAINED] = None
    """Divide log-probabilities by the length to this power when texts are compared."""
    temperature: Annotated[float | None, _AS_TRAINED] = None
    """Above 0: draw the tokens, with logits divided by this, instead of searching."""
    seed: Annotated[int | None, _AS_TRAINED] = None
    """Seed of what is drawn."""


def search_of(command: Any, model: Any) -> dict[str, Any]:
    """Return the argument ``search`` of a call on a model, if any of the options is given.

    Raises:
        UsageError: the model does not search, or a value is outside its limits.
    """
    given = {name: value for name in SEARCH if (value := getattr(command, name, None)) is not None}
    if not given:
        return {}
    if "search" not in TASKS[model.task].answer_options:
        raise UsageError(f"`{next(iter(given))}` is no option of a model of task {model.task}; leave it out")
    search = replace(model.search, **given)
    search.check()
    return {"search": search}
