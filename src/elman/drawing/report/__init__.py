"""An HTML report on what a network does with one input: one file that needs no network and no server."""

from elman.drawing.report.network import CELL_NAMES
from elman.drawing.report.page import html
from elman.drawing.report.values import (
    AttributionPlot,
    ContextPlot,
    GradientCurve,
    GradientPlot,
    Holding,
    LayerStates,
    ModelReport,
    NetworkPlan,
    Outputs,
    ParameterRow,
    StackPlan,
    StackRun,
    Terms,
    UnitScore,
)

__all__ = [
    "CELL_NAMES",
    "AttributionPlot",
    "ContextPlot",
    "GradientCurve",
    "GradientPlot",
    "Holding",
    "LayerStates",
    "ModelReport",
    "NetworkPlan",
    "Outputs",
    "ParameterRow",
    "StackPlan",
    "StackRun",
    "Terms",
    "UnitScore",
    "html",
]
