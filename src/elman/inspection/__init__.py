"""Look inside a trained model: what it computes at every step, and how far back it learns.

    trace = elman.inspection.trace(model, "to be or not to be")
    trace.states                      (layers · directions, T, H)
    trace["layer0.forward.gate.f"]    (T, H), an LSTM's forget gate

The numbers come from the layers that the model itself runs. Each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.inspection.attribution import Attribution as Attribution
    from elman.inspection.attribution import attribute as attribute
    from elman.inspection.context import ContextUse as ContextUse
    from elman.inspection.context import context_use as context_use
    from elman.inspection.gradients import GradientByLag as GradientByLag
    from elman.inspection.gradients import gradient_by_lag as gradient_by_lag
    from elman.inspection.inspections import Inspection as Inspection
    from elman.inspection.inspections import inspect as inspect
    from elman.inspection.reports import model_report as model_report
    from elman.inspection.reports import save_report as save_report
    from elman.inspection.traces import Trace as Trace
    from elman.inspection.tracing import trace as trace
    from elman.inspection.units.addresses import Unit as Unit
    from elman.inspection.units.effects import Effect as Effect
    from elman.inspection.units.effects import ablation_effect as ablation_effect
    from elman.inspection.units.interventions import ablate as ablate
    from elman.inspection.units.interventions import clamp as clamp
    from elman.inspection.units.interventions import patch as patch
    from elman.inspection.units.probes import Probe as Probe
    from elman.inspection.units.probes import probe as probe
    from elman.inspection.units.ranking import rank_units as rank_units
    from elman.inspection.units.rankings import UnitRanking as UnitRanking

_HOMES = {
    **dict.fromkeys(("Attribution", "attribute"), "attribution"),
    **dict.fromkeys(("ContextUse", "context_use"), "context"),
    **dict.fromkeys(("GradientByLag", "gradient_by_lag"), "gradients"),
    **dict.fromkeys(("Inspection", "inspect"), "inspections"),
    **dict.fromkeys(("model_report", "save_report"), "reports"),
    "Trace": "traces",
    "trace": "tracing",
    "Unit": "units.addresses",
    **dict.fromkeys(("Effect", "ablation_effect"), "units.effects"),
    **dict.fromkeys(("ablate", "clamp", "patch"), "units.interventions"),
    **dict.fromkeys(("Probe", "probe"), "units.probes"),
    "rank_units": "units.ranking",
    "UnitRanking": "units.rankings",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"elman.inspection.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
