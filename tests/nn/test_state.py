"""A state: named parts of any dtype; a state of another layer is refused in one line."""

import pytest
import torch

from elman.errors import UsageError
from elman.nn import GRU, LSTM, MinGRU, Window
from elman.nn.state import State


def state():
    return State(hidden=torch.arange(12.0).view(2, 2, 3), context=torch.arange(8).view(2, 2, 2))


def test_parts_need_not_be_floats():
    chosen = state().select_rows(torch.tensor([1, 1, 0]))
    assert chosen["context"].tolist() == [[[2, 3], [2, 3], [0, 1]], [[6, 7], [6, 7], [4, 5]]]
    assert chosen["context"].dtype == torch.int64
    assert chosen.batch_size == 3
    repeated = state().select_rows(torch.tensor([1])).expand(2)
    assert repeated["context"].tolist() == [[[2, 3], [2, 3]], [[6, 7], [6, 7]]]
    assert repeated["hidden"][0].tolist() == [[3, 4, 5], [3, 4, 5]]


def test_directions_are_merged_layer_by_layer():
    hidden = state()["hidden"]
    merged = State(hidden=hidden).merge_directions("sum")["hidden"]
    assert torch.equal(merged, (hidden[0] + hidden[1])[None])


def test_a_state_is_a_value():
    first = state()
    first.detach()["hidden"] = torch.zeros(1)
    assert first["hidden"].shape == (2, 2, 3)


def test_a_state_of_several_rows_is_not_repeated():
    with pytest.raises(UsageError, match="2 rows, expected 1 or 3"):
        state().expand(3)


X = torch.zeros(4, 2, 3)
HIDDEN = torch.zeros(1, 2, 5)


@pytest.mark.parametrize(
    ("layer", "given", "message"),
    [
        (GRU(3, 5), State(hidden=HIDDEN, cell=HIDDEN), r"parts \(hidden, cell\), expected \(hidden\)"),
        (LSTM(3, 5), State(hidden=HIDDEN), r"parts \(hidden\), expected \(hidden, cell\)"),
        (LSTM(3, 5), (HIDDEN,) * 3, r"tuple of 3, expected a pair \(hidden, cell\)"),
        (MinGRU(3, 5), (HIDDEN, HIDDEN), "a tuple of 2|a tuple, expected one tensor"),
        (Window(3, 5), State(hidden=HIDDEN), r"parts \(hidden\), expected \(inputs\)"),
        (LSTM(3, 5), {"hidden": HIDDEN, "cell": HIDDEN[:, :, :4]}, "the cell state has shape"),
    ],
)
def test_a_state_of_another_cell_is_refused(layer, given, message):
    with pytest.raises(UsageError, match=message) as refused:
        layer.run(X.transpose(0, 1) if layer.batch_first else X, given)
    assert "\n" not in str(refused.value)


def test_states_are_averaged_interpolated_and_patched_part_by_part():
    first, second = (State(hidden=torch.randn(2, 3, 4), cell=torch.randn(2, 3, 5)) for _ in range(2))
    for part in ("hidden", "cell"):
        torch.testing.assert_close(State.mean([first, second, second])[part], (first[part] + 2 * second[part]) / 3)
        torch.testing.assert_close(first.interpolate(second, 0.3)[part], 0.7 * first[part] + 0.3 * second[part])
        assert torch.equal(first.interpolate(second, 0)[part], first[part])
        assert torch.equal(first.interpolate(second, 1)[part], second[part])
    kept = first["cell"].clone()
    patched = first.patch(second, [4, 1], "cell", layer=1)
    assert torch.equal(first["cell"], kept)
    expected = kept.clone()
    for row in range(3):
        for unit in (1, 4):
            expected[1, row, unit] = second["cell"][1, row, unit]
    assert torch.equal(patched["cell"], expected)
    assert torch.equal(patched["hidden"], first["hidden"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda own: State.mean([]), "no states to average"),
        (lambda own: State.mean([own, State(hidden=HIDDEN)]), "different shapes"),
        (lambda own: own.interpolate(State(hidden=HIDDEN, cell=HIDDEN[:, :1]), 0.5), "different shapes"),
        (lambda own: own.patch(own, [0], "memory"), 'part is "memory", expected one of: hidden, cell'),
        (lambda own: own.patch(own, [0, 5]), "unit is 5, expected 0 to 4"),
        (lambda own: own.patch(own, [-1]), "unit is -1, expected 0 to 4"),
        (lambda own: own.patch(own, [0], layer=1), "layer is 1, expected 0 to 0"),
    ],
)
def test_states_that_do_not_go_together(call, message):
    with pytest.raises(UsageError, match=message):
        call(State(hidden=HIDDEN, cell=HIDDEN))
