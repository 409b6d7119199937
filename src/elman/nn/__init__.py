"""Layers: the reference, and the fast ones tested against it."""

from elman.nn.mingru import MinGRU as MinGRU
from elman.nn.recurrent import GRU as GRU
from elman.nn.recurrent import LSTM as LSTM
from elman.nn.recurrent import RNN as RNN
from elman.nn.window import Window as Window
