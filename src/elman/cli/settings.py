"""A task's settings as options of a command: in groups, the common ones first."""

from __future__ import annotations

from dataclasses import field, fields
from typing import Annotated, Any, TypeVar, get_type_hints

from elman.cli.help import About, docstrings
from elman.settings.base import ModelSettings
from elman.training.schedule import TrainingSettings

Kind = TypeVar("Kind", bound=ModelSettings)

GROUPS = {  # the other settings belong to the network
    "data": {
        *("encoding", "valid_fraction", "valid_characters", "level", "lines", "vocab_size", "min_count", "lowercase"),
        *("text", "label", "no_header", "source", "target", "column", "word_column", "max_length", "source_length"),
        *("input_format", "shared_vocabulary", "events", "transpose", "longest"),
    },
    "training": {
        *(field.name for field in fields(TrainingSettings)),
        *("batch_size", "bptt_length", "batch_tokens", "dropout", "word_dropout", "label_smoothing", "class_weights"),
        "crop_length",
    },
    "output": {"beam_size", "length_penalty", "n_best", "temperature"},
}

COMMON = {  # what --help shows; --help-all shows the rest, too
    *("level", "text", "label", "source", "target", "column", "events", "transpose"),
    *("cell", "hidden_size", "num_layers", "vectors", "attention", "encoder", "crf"),
    *("minutes", "seed"),
}


def setting_fields(kind: type[ModelSettings], default: ModelSettings, **other_texts: str) -> list[tuple[str, Any, Any]]:
    """Return a task's settings as the fields of a command, for ``make_dataclass``.

    Args:
        kind: the task's settings.
        default: the values of those that are not given.
        other_texts: what help says of some settings, in place of their docstrings.
    """
    texts, hints = {**docstrings(kind), **other_texts}, get_type_hints(kind)
    command = []
    for one in sorted(fields(kind), key=lambda one: one.name != "cell"):  # the first thing that a reader looks for
        about = About(text=texts[one.name], group=_group(one.name), is_advanced=one.name not in COMMON)
        command.append((one.name, Annotated[hints[one.name], about], field(default=getattr(default, one.name))))
    return command


def settings_of(command: Any, kind: type[Kind]) -> Kind:
    """Return the settings that a parsed command holds."""
    return kind(**{one.name: getattr(command, one.name) for one in fields(kind)})


def _group(name: str) -> str:
    return next((group for group, names in GROUPS.items() if name in names), "network")
