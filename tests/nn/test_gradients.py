"""Gradients by lag against one call of autograd for each pair of a loss and a step, over loops by hand in float64."""

import math

import pytest
import torch

from elman.nn.gradients import Place, differentiate_edges, measure_gradients_by_lag
from elman.nn.recording import recording

from .by_hand import BACKENDS, build, every_cell, step_by_hand, weights_by_hand


def run_by_hand(layer, inputs):
    """Run in float64; return the outputs, and for each layer and direction a zero that was added to each edge."""
    inputs, zeros = inputs.double(), []
    for number in range(layer.num_layers):
        found = []
        for direction in range(layer.num_directions):
            weights, steps = weights_by_hand(layer, number, direction), len(inputs)
            blank = torch.zeros(inputs.shape[1], layer.hidden_size, dtype=torch.float64)
            current = dict.fromkeys(layer.cell.state, blank)
            own, outputs = [None] * steps, [None] * steps
            for step in reversed(range(steps)) if direction else range(steps):
                after = step_by_hand(layer, inputs[step], current, *weights)
                outputs[step] = after["hidden"]
                own[step] = {part: torch.zeros_like(value, requires_grad=True) for part, value in after.items()}
                current = {part: value + own[step][part] for part, value in after.items()}
            zeros.append(own)
            found.append(torch.stack(outputs))
        inputs = torch.cat(found, dim=-1)
    return inputs, zeros


@pytest.mark.parametrize("by_step", [False, True], ids=["whole", "by step"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bidirectional", [False, True])
@every_cell
def test_gradients_along_each_edge(name, bidirectional, backend, by_step):
    if (name, backend) == ("mingru", "fused"):
        pytest.skip("there are no kernels for it")
    layer = build(name, 3, 5, 2, bidirectional=bidirectional, **BACKENDS[backend])
    inputs = torch.randn(6, 2, 3).to(layer.weight_ih_l0.dtype)
    weigh = torch.randn(6, 2, layer.output_size).to(inputs.dtype)
    with recording(by_step=by_step) as record:
        outputs, _ = layer.run(inputs)
    found = differentiate_edges((outputs * weigh).sum(), record.of(layer))
    by_hand, zeros = run_by_hand(layer, inputs)
    (by_hand * weigh).sum().backward()
    for slopes, own in zip(found, zeros, strict=True):
        for part, slope in slopes.items():
            edges = [torch.zeros(2, 5).double() if one[part].grad is None else one[part].grad for one in own]
            expected = torch.stack(edges)
            limit = 1e-4 * max(float(expected.abs().max()), 1e-3)  # float32 sums of some hundred terms
            assert float((slope.double() - expected).abs().max()) <= limit
    assert all(weight.grad is None for weight in layer.parameters())


@pytest.mark.parametrize(("num_layers", "bidirectional"), [(1, False), (2, False), (1, True), (2, True)], ids=str)
@every_cell
def test_each_pair_of_a_loss_and_a_lag(name, num_layers, bidirectional):
    layer = build(name, 3, 4, num_layers, bidirectional=bidirectional, dtype=torch.float64)
    steps, num_lags = 7, 5
    inputs = torch.randn(steps, 1, 3, dtype=torch.float64)
    weigh = torch.randn(steps, layer.output_size, dtype=torch.float64)
    rows = torch.arange(steps)

    def run():
        outputs, _ = layer.run(inputs.expand(-1, steps, -1))
        return (outputs[rows, rows] * weigh).sum()

    norms = measure_gradients_by_lag(run, [Place("top.", layer, (rows, rows))], num_lags)
    outputs, zeros = run_by_hand(layer, inputs)
    losses = (outputs[:, 0] * weigh).sum(-1)
    seen = 0
    for t in range(steps):
        for k in range(1, num_lags + 1):
            for index, own in enumerate(zeros):
                number, direction = divmod(index, layer.num_directions)
                place = t + k if direction else t - k
                for part in layer.cell.state:
                    place_name = f"top.layer{number}.{'reverse' if direction else 'forward'}.{part}"
                    got = float(norms[place_name][t, k - 1])
                    if not 0 <= place < steps:
                        assert math.isnan(got)
                        continue
                    (slope,) = torch.autograd.grad(losses[t], own[place][part], retain_graph=True, allow_unused=True)
                    expected = 0.0 if slope is None else float(slope.norm())
                    assert got == pytest.approx(expected, rel=1e-9, abs=1e-15)
                    seen += expected > 0
    assert seen >= 20


def test_a_state_that_makes_no_difference_has_no_gradient():
    layer = build("gru", 3, 4, dtype=torch.float64)
    inputs = torch.randn(5, 1, 3, dtype=torch.float64)
    place = Place("", layer, (torch.tensor([2]), torch.tensor([2])))
    norms = measure_gradients_by_lag(lambda: layer.run(inputs)[0][4].sum() * 0, [place], 3)
    assert norms["layer0.forward.hidden"][0, :2].tolist() == [0, 0]
    assert math.isnan(norms["layer0.forward.hidden"][0, 2])
