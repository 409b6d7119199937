"""The layers replace torch.nn's: called with its keywords, traced, and exported."""

import copy
import io
import warnings

import numpy as np
import pytest
import torch

from elman import nn as en

CELLS = [(en.RNN, torch.nn.RNN), (en.GRU, torch.nn.GRU), (en.LSTM, torch.nn.LSTM)]
SHAPES = [
    {},
    {"bidirectional": True, "num_layers": 2},
    {"batch_first": True},
    {"bidirectional": True, "num_layers": 2, "merge": "sum"},
    {"bidirectional": True, "merge": "product", "initial_state": "learned"},
    {"num_layers": 2, "dropout": 0.5},
]


def made(kind, **options):
    torch.manual_seed(1)
    layer = kind(4, 5, **options).eval()
    for name, parameter in layer.named_parameters():
        if name.startswith("initial_"):
            torch.nn.init.normal_(parameter)
    return layer


def state_for(layer, rows):
    parts = [torch.randn(layer.num_layers * layer.num_directions, rows, 5) for _ in layer.state_sizes]
    return tuple(parts) if len(parts) == 2 else parts[0]


def flat(result):
    outputs, state = result
    return [outputs, *(state if isinstance(state, tuple) else (state,))]


def assert_close(found, expected):
    for one, other in zip(flat(found), flat(expected), strict=True):
        # 1e-5: Elman's kernels and torch's add in another order
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("ours", "theirs"), CELLS)
def test_the_state_is_called_hx(ours, theirs):
    layer = made(ours)
    other = theirs(4, 5)
    other.load_state_dict(layer.state_dict())
    inputs, state = torch.randn(6, 3, 4), state_for(layer, 3)
    assert_close(layer(inputs, hx=state), other(inputs, hx=state))
    assert_close(layer(input=inputs, hx=state), other(input=inputs, hx=state))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("ours", [ours for ours, _ in CELLS])
def test_a_trace_equals_the_layer(ours, shape):
    layer = made(ours, **shape)
    inputs = torch.randn(6, 3, 4)
    state = state_for(layer, 6 if layer.batch_first else 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's tracer warns of its own checks
        traced = torch.jit.trace(copy.deepcopy(layer), (inputs, state))
    assert_close(traced(inputs, state), layer(inputs, state))
    others = torch.randn(6, 9, 4) if layer.batch_first else torch.randn(9, 3, 4)
    assert_close(traced(others, state), layer(others, state))  # another number of time steps


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("ours", [ours for ours, _ in CELLS])
def test_an_exported_program_equals_the_layer(ours, shape):
    layer = made(ours, **shape)
    inputs = torch.randn(6, 3, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the list of weights that torch.nn's own layers bring up to date too
        program = torch.export.export(copy.deepcopy(layer), (inputs,))
    assert_close(program.module()(inputs), layer(inputs))


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
@pytest.mark.parametrize("ours", [ours for ours, _ in CELLS])
def test_an_onnx_model_equals_the_layer(ours, shape, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    layer = made(ours, **shape)
    inputs = torch.randn(6, 3, 4)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the exporter is an old one
        torch.onnx.export(copy.deepcopy(layer), (inputs,), stream, dynamo=False, input_names=["x"])
    session = runtime.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"x": inputs.numpy()})[0]
    np.testing.assert_allclose(outputs, layer(inputs)[0].detach().numpy(), rtol=1e-5, atol=1e-5)


def test_the_new_exporter_exports_a_layer(tmp_path):
    pytest.importorskip("onnxscript", reason="torch.onnx.export(dynamo=True) needs onnxscript")
    layer = made(en.GRU)
    torch.onnx.export(layer, (torch.randn(6, 3, 4),), tmp_path / "gru.onnx", dynamo=True)
    assert (tmp_path / "gru.onnx").stat().st_size > 0
