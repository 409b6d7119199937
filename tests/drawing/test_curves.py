"""The curves have a second panel where gradients by lag were measured."""

import xml.etree.ElementTree as ET

from elman.drawing.curves import loss_curves

ROWS = [
    {"step": 0, "train_nats": None, "nats_per_token": 3.0},
    {"step": 10, "train_nats": 2.0, "nats_per_token": 2.1, "gradient_reach": 2, "gradient_lag_1": 0.5},
    {"step": 20, "train_nats": 1.5, "nats_per_token": 1.9, "gradient_lag_1": None, "gradient_lag_2": 0.0},
    {"step": 30, "train_nats": 1.2, "nats_per_token": 1.8, "gradient_lag_1": 0.6, "gradient_lag_2": 0.1},
]


def panels(svg):
    return [each.get("id") for each in ET.fromstring(svg).iter() if (each.get("id") or "").startswith("axes_")]


def test_gradients_have_a_panel_of_their_own():
    assert panels(loss_curves(ROWS)) == ["axes_1", "axes_2"]


def test_without_gradients_there_is_one_panel():
    assert panels(loss_curves(ROWS[:1])) == ["axes_1"]
    assert panels(loss_curves([{**ROWS[0], "gradient_lag_1": None}])) == ["axes_1"]
