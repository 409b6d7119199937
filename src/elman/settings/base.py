"""Settings: dataclass fields written once for the constructor, the shell, config.json and scikit-learn."""

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

LARGEST = 2**63 - 1  # the largest value of a whole number without a limit below
LIMITS = {  # the largest value of each setting; beyond it is a mistake or a malicious folder
    **dict.fromkeys(("minutes", "epochs", "max_epochs"), 10_000_000),
    **dict.fromkeys(("steps", "warmup_steps"), 10**12),
    **dict.fromkeys(("evaluations", "patience"), 1_000_000),
    "threads": 1024,
    "num_layers": 100,
    **dict.fromkeys(("hidden_size", "embedding_size", "character_size", "feature_size"), 16_384),
    **dict.fromkeys(("channels", "picture_size"), 4096),
    "window": 1000,
    **dict.fromkeys(("batch_size", "bptt_length", "longest", "max_length", "crop_length"), 1_000_000),
    "source_length": 100_000,
    "batch_tokens": 100_000_000,
    **dict.fromkeys(("vocab_size", "vector_words"), 10_000_000),
    "transpose": 127,
    **dict.fromkeys(("beam_size", "n_best"), 1000),
}


@dataclass(kw_only=True, eq=False)
class Settings:
    """A keyword-only dataclass with fields that can be read and set by name, checked, and written as JSON."""

    task: ClassVar[str]
    limits: ClassVar[Mapping[str, float]] = LIMITS

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the settings by name, as in scikit-learn."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def set_params(self, **params: Any) -> Self:
        """Set settings by name.

        Raises:
            UsageError: a setting is unknown.
        """
        for name, value in params.items():
            known = self.get_params()
            if name not in known:
                raise UsageError(f"{type(self).__name__} has no setting {name!r}{suggest(name, known)}")
            setattr(self, name, value)
        return self

    def check(self) -> None:
        """Raise UsageError if a value has the wrong type, is too large, or is not one of the allowed names."""
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value, choices = getattr(self, field.name), _choices(hints[field.name])
            if value is None and types.NoneType in get_args(hints[field.name]):
                continue
            if not choices:
                _check_type(field.name, value, hints[field.name])
                if isinstance(value, numbers.Real):
                    _check_size(field.name, value, self.limits.get(field.name, LARGEST))
            if choices and value not in choices:
                allowed = ", ".join(choices)
                raise UsageError(f'{field.name} is "{value}"; it is one of {allowed}{suggest(str(value), choices)}')

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values: a path as a string."""
        return {name: _to_plain(value) for name, value in self.get_params().items()}

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Return arguments for the constructor: the inverse of :meth:`to_json`.

        Raises:
            UsageError: a value has the wrong type, is too large, or is not one of the allowed names.
        """
        hints = typing.get_type_hints(cls)
        values = {
            name: Path(value) if isinstance(value, str) and Path in get_args(hints.get(name)) else value
            for name, value in settings.items()
        }
        Settings.check(cls(**values))
        return values


@dataclass(kw_only=True, eq=False)
class ModelSettings(TrainingSettings, Settings):
    """The settings of every model. A task that only changes a default repeats the field without a docstring."""

    architecture: ClassVar[tuple[str, ...]]  # the settings that determine the weights
    planned: ClassVar[tuple[str, ...]] = ()  # the settings that follow from the data where they are None
    before: ClassVar[Mapping[str, Any]] = {}  # what earlier versions did, which lack some of the planned settings
    free_to_change: ClassVar[tuple[str, ...]] = (
        "threads",
    )  # with --resume; other numbers of threads round differently

    encoding: str = "utf-8"
    """Encoding of text files."""
    valid_fraction: float = 0.1
    """Share of the data held out for validation if no validation data are given: random examples, or the end of a
    text."""
    hidden_size: int | None = 256
    """Units in each layer (and direction)."""
    num_layers: int = 1
    """Number of stacked layers."""
    backend: Literal["auto", "fused", "torch", "reference"] = "auto"
    """Backend of the recurrent layers: Elman's fused kernels (float32 on a CPU), torch.nn, the slow float64 reference,
    or auto for the fastest."""


@dataclass(kw_only=True, eq=False)
class ExampleSettings(ModelSettings):
    """The settings of models that are trained on pairs of an input and an answer."""

    planned: ClassVar[tuple[str, ...]] = ("batch_tokens",)

    patience: int = 0  # the best model comes from the last steps, at a low learning rate
    cell: CellName = "lstm"
    """Cell of the recurrent layers; rnn is the simple (Elman) network."""
    dropout: float = 0.3
    """Dropout before and after the recurrent layers, with one mask for a whole sequence."""
    batch_tokens: int | None = None
    """Tokens in a batch of examples of similar length, including padding; source and target tokens both count. Default:
    follows from the number and the length of the examples."""


def saved_settings(cls: type[Settings], config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the settings in a folder's config as arguments for the constructor.

    Raises:
        ModelError: there are none, or one is unknown or invalid.
    """
    if config.get("task") != cls.task:
        raise ModelError(f'{folder / "config.json"}: the task is "{config.get("task")}", expected "{cls.task}"')
    settings = config.get("settings")
    if not isinstance(settings, dict):
        raise ModelError(f"{folder}: its config has no settings; train again or copy the folder again")
    known = {field.name for field in dataclasses.fields(cls)}
    for name in settings:
        if name not in known:
            meant = suggest(name, known) or ";"
            raise ModelError(
                f'{folder / "config.json"}: unknown setting "{name}"{meant} it may come from a newer Elman: '
                "upgrade with pip install -U elman, or remove the line"
            )
    try:
        return cls.from_json(settings)
    except UsageError as error:
        raise ModelError(f"{folder / 'config.json'}: {error}; train again or copy the folder again") from error


def _to_plain(value: Any) -> Any:
    """Convert a value for JSON: a path to a string, a NumPy number to a Python number."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else value


def saved_choices(cls: type[ModelSettings], config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what the plan chose for the settings in a folder's config that are None.

    Raises:
        ModelError: a choice is missing or invalid.
    """
    settings, chosen = config["settings"], config.get("chosen", {})
    chosen = {**{name: value for name, value in cls.before.items() if name not in settings}, **chosen}
    missing = [name for name in cls.planned if settings.get(name) is None and chosen.get(name) is None]
    if missing:
        raise ModelError(f"{folder / 'config.json'}: {missing[0]} is neither set nor chosen; copy the folder again")
    try:
        return cls.from_json({name: value for name, value in chosen.items() if name in cls.planned})
    except UsageError as error:
        raise ModelError(f"{folder / 'config.json'}: chosen: {error}; copy the folder again") from error


def _choices(hint: Any) -> tuple[str, ...]:
    """Return the names that a Literal (or optional Literal) allows; nothing for other types."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    if get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(choice for part in get_args(hint) for choice in _choices(part))
    return ()


def _check_size(name: str, value: Any, most: float) -> None:
    """Raise UsageError if a finite number is above its limit; infinite ones are checked elsewhere."""
    if not isinstance(value, numbers.Integral) and (most == LARGEST or not math.isfinite(value)):
        return
    if abs(value) > most:
        shown = value if abs(value) < 1e30 else "beyond 10^30"  # Python refuses to print very large integers
        raise UsageError(f"{name} is {shown}; it must be at most {most:,}")


def _check_type(name: str, value: Any, hint: Any) -> None:
    """Raise UsageError unless a value has its field's type; NumPy numbers are accepted."""
    kinds = get_args(hint) or (hint,)
    wider: dict[Any, type] = {int: numbers.Integral, float: numbers.Real, type(None): types.NoneType}
    is_bool = isinstance(value, bool)  # an int in Python, but not a size
    if any(is_bool if kind is bool else not is_bool and isinstance(value, wider.get(kind, kind)) for kind in kinds):
        return
    wanted = {int: "a whole number", float: "a number", bool: "true or false", str: "a string", Path: "a path"}
    raise UsageError(f"{name} is {value!r}; it must be {next(wanted[kind] for kind in kinds if kind in wanted)}")
