"""Recurrent layers: a readable reference, and the fast layers tested against it. Each is imported on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.nn.mingru import MinGRU as MinGRU
    from elman.nn.recurrent import GRU as GRU
    from elman.nn.recurrent import LSTM as LSTM
    from elman.nn.recurrent import RNN as RNN
    from elman.nn.window import Window as Window

_HOMES = {"GRU": "recurrent", "LSTM": "recurrent", "MinGRU": "mingru", "RNN": "recurrent", "Window": "window"}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"elman.nn.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
