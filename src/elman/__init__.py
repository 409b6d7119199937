"""Elman: a toolkit for recurrent neural networks that train on your own data, run fast on a CPU and can be inspected.

    lm = elman.LanguageModel(cell="lstm", hidden_size=512, minutes=3).fit(Path("input.txt"))
    lm.generate("ROMEO:", max_tokens=400, temperature=0.8)
    lm.save("runs/shakespeare");  lm = elman.load("runs/shakespeare")

Public names are imported on first use, so ``import elman`` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from elman.models.tasks import TASKS

if TYPE_CHECKING:
    from elman import inspection as inspection
    from elman import nn as nn
    from elman.counting.ngrams import NgramModel as NgramModel
    from elman.decoding.options import Sampling as Sampling
    from elman.families.writing import Request as Request
    from elman.models import load as load
    from elman.models.captioner import Captioner as Captioner
    from elman.models.classifier import Classifier as Classifier
    from elman.models.composer import Composer as Composer
    from elman.models.language_model import LanguageModel as LanguageModel
    from elman.models.tagger import Tagger as Tagger
    from elman.models.translator import Translator as Translator

__version__ = "0.1.0"

_HOMES = {
    **{row.class_name: row.module for row in TASKS.values()},
    "NgramModel": "elman.counting.ngrams",
    "Request": "elman.families.writing",
    "Sampling": "elman.decoding.options",
    "load": "elman.models",
}

_PACKAGES = ("inspection", "nn")

__all__ = [*_HOMES, *_PACKAGES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"elman.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_PACKAGES})
