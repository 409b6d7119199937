"""The names of the cells, for settings and help, which do not wait for torch; nn/cells.py has an entry for each."""

from typing import Literal

CellName = Literal["rnn", "gru", "lstm", "mingru"]
