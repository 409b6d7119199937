"""Settings: a dataclass whose fields are written once, for the constructor, the shell, config.json and scikit-learn."""

from __future__ import annotations

import dataclasses
import math
import numbers
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args, get_origin

from elman.errors import ModelError, UsageError, suggest
from elman.nn.cells import CellName
from elman.training.schedule import TrainingSettings

LARGEST = 2**63 - 1  # of a whole number that has no limit of its own
LIMITS = {  # the largest value of each setting: beyond it lies a mistake, or a folder that means harm
    **dict.fromkeys(("minutes", "epochs", "max_epochs"), 10_000_000),
    **dict.fromkeys(("steps", "warmup_steps"), 10**12),
    **dict.fromkeys(("evaluations", "patience"), 1_000_000),
    "threads": 1024,
    "num_layers": 100,
    **dict.fromkeys(("hidden_size", "embedding_size", "character_size", "feature_size"), 16_384),
    **dict.fromkeys(("channels", "picture_size"), 4096),
    "window": 1000,
    **dict.fromkeys(("batch_size", "bptt_length", "longest", "max_length"), 1_000_000),
    "source_length": 100_000,
    "batch_tokens": 100_000_000,
    **dict.fromkeys(("vocab_size", "vector_words"), 10_000_000),
    "transpose": 127,
    **dict.fromkeys(("beam_size", "n_best"), 1000),
}


@dataclass(kw_only=True, eq=False)
class Settings:
    """A keyword-only dataclass that can be asked for its fields, changed by name, and written as JSON."""

    task: ClassVar[str]
    limits: ClassVar[Mapping[str, float]] = LIMITS

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the settings by name, as scikit-learn asks for them."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def set_params(self, **params: Any) -> Self:
        """Change settings by name.

        Raises:
            UsageError: there is no such setting.
        """
        for name, value in params.items():
            known = self.get_params()
            if name not in known:
                raise UsageError(f"{type(self).__name__} has no setting {name!r}{suggest(name, known)}")
            setattr(self, name, value)
        return self

    def check(self) -> None:
        """Raise UsageError where a value is of another type, too large, or none of the names that a setting allows."""
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value, choices = getattr(self, field.name), _choices(hints[field.name])
            if not choices:
                _check_type(field.name, value, hints[field.name])
                if isinstance(value, numbers.Real):
                    _check_size(field.name, value, self.limits.get(field.name, LARGEST))
            if choices and value not in choices:
                listed = ", ".join(choices)
                raise UsageError(f'{field.name} is "{value}"; it is one of {listed}{suggest(str(value), choices)}')

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values: a path as its text."""
        return {name: _plain(value) for name, value in self.get_params().items()}

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Return the settings as the constructor takes them: the inverse of :meth:`to_json`."""
        hints = typing.get_type_hints(cls)
        return {
            name: Path(value) if isinstance(value, str) and Path in get_args(hints.get(name)) else value
            for name, value in settings.items()
        }


@dataclass(kw_only=True, eq=False)
class ModelSettings(TrainingSettings, Settings):
    """The settings of every model; a task that only has another default writes down no more than that."""

    architecture: ClassVar[tuple[str, ...]]  # the settings that say which weights there are
    free_to_change: ClassVar[tuple[str, ...]] = ("threads",)  # on --resume; another number rounds differently

    encoding: str = "utf-8"
    """How text files are encoded."""
    valid_fraction: float = 0.1
    """Share of the data held out for validation where no other is given: examples drawn with the seed, or the end of a
    text."""
    hidden_size: int = 256
    """Units of each layer (of each direction, where there are two)."""
    num_layers: int = 1
    """Stacked layers: each reads the outputs of the one below."""
    backend: Literal["auto", "fused", "torch", "reference"] = "auto"
    """What computes the recurrent layers: Elman's fused kernels (float32 on a CPU), torch.nn, the slow float64
    reference, or the fastest."""


@dataclass(kw_only=True, eq=False)
class ExampleSettings(ModelSettings):
    """The settings of models that learn an answer to every input."""

    patience: int = 0  # it is the last steps, at a low learning rate, that make the best model
    cell: CellName = "lstm"
    """The cell of the recurrent layers; rnn is the simple, Elman's network."""
    dropout: float = 0.3
    """Share of the values, below and above the recurrent layers, set to zero while training, for a whole sequence."""
    batch_tokens: int = 2000
    """Tokens in a batch of examples of about equal length, padding included; read and written ones both count."""


def saved_settings(cls: type[Settings], config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the settings that a folder's config holds, as the constructor takes them.

    Raises:
        ModelError: there are none, or one is unknown.
    """
    if config.get("task") != cls.task:
        raise ModelError(f'{folder / "config.json"}: a model of task "{config.get("task")}", not "{cls.task}"')
    settings = config.get("settings")
    if not isinstance(settings, dict):
        raise ModelError(f"{folder}: its config has no settings; train again or copy the folder anew")
    known = {field.name for field in dataclasses.fields(cls)}
    for name in settings:
        if name not in known:
            meant = suggest(name, known) or ";"
            raise ModelError(
                f'{folder / "config.json"}: unknown setting "{name}"{meant} it may come from a newer Elman: '
                "upgrade with pip install -U elman, or take the line out"
            )
    values = cls.from_json(settings)
    try:
        Settings.check(cls(**values))
    except UsageError as error:
        raise ModelError(f"{folder / 'config.json'}: {error}; train again or copy the folder anew") from error
    return values


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: a path as its text, a NumPy number as Python's."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else value


def _choices(hint: Any) -> tuple[str, ...]:
    """Return the names that a Literal allows, within an optional too; nothing for other types."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    if get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(choice for part in get_args(hint) for choice in _choices(part))
    return ()


def _check_size(name: str, value: Any, most: float) -> None:
    """Raise UsageError where a finite number is above its limit; whoever needs one that is finite says so."""
    if not isinstance(value, numbers.Integral) and (most == LARGEST or not math.isfinite(value)):
        return
    if abs(value) > most:
        shown = value if abs(value) < 1e30 else "beyond 10^30"  # of a very large number not even the digits are known
        raise UsageError(f"{name} is {shown}; it must be at most {most:,}")


def _check_type(name: str, value: Any, hint: Any) -> None:
    """Raise UsageError unless a value has its field's type; a NumPy number is as good as Python's."""
    kinds = get_args(hint) or (hint,)
    wider: dict[Any, type] = {int: numbers.Integral, float: numbers.Real, type(None): types.NoneType}
    is_bool = isinstance(value, bool)  # True is an int to Python, but no size
    if any(is_bool if kind is bool else not is_bool and isinstance(value, wider.get(kind, kind)) for kind in kinds):
        return
    wanted = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path"}
    raise UsageError(f"{name} is {value!r}; it must be {next(wanted[kind] for kind in kinds if kind in wanted)}")
