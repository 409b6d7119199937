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
