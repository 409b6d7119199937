"""JAX and Keras (on TensorFlow) as peers in the benchmark of layers, if they are installed.

Nothing else needs them, so they are imported only on request.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from elman.bench.rows import Shape
from elman.bench.timing import Work
from elman.errors import UsageError, suggest
from elman.nn.cells import CELLS

Run = Callable[[Shape], dict[str, Work]]
"""Takes a shape and returns the work to time for each pass. The input size is the hidden size."""


class Peer(NamedTuple):
    """Another library's layers."""

    name: str
    packages: Sequence[str]
    runs: Mapping[str, Run]
    """The cells that it has."""


NEEDS = {"jax": ("jax",), "keras": ("keras", "tensorflow")}


def load_peers(names: Iterable[str], threads: int) -> list[Peer]:
    """Import peers and set their number of threads.

    Raises:
        UsageError: there is no such peer, or it is not installed.
    """
    names = list(names)
    for name in names:
        if name not in NEEDS:
            raise UsageError(f"--peers has no {name}{suggest(name, NEEDS)}; it has {', '.join(NEEDS)}")
    for name in names:
        for package in NEEDS[name]:
            if find_spec(package) is None:
                raise UsageError(f"--peers {name}: {package} is not installed; pip install {' '.join(NEEDS[name])}")
    load = {"jax": _load_jax, "keras": _load_keras}
    return [Peer(name, NEEDS[name], load[name](threads)) for name in names]


def _load_jax(threads: int) -> dict[str, Run]:
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["PJRT_NPROC"] = str(threads)
    jax: Any = import_module("jax")
    jnp: Any = import_module("jax.numpy")

    def rnn(u: Any, b_m: Any, state: Any, from_input: Any) -> Any:
        hidden = jnp.tanh(from_input + state[0] @ u)
        return (hidden,), hidden

    def gru(u: Any, b_m: Any, state: Any, from_input: Any) -> Any:
        r, z, n = jnp.split(from_input, 3, -1)
        u_r, u_z, u_n = jnp.split(state[0] @ u, 3, -1)
        r, z = jax.nn.sigmoid(r + u_r), jax.nn.sigmoid(z + u_z)
        hidden = (1 - z) * jnp.tanh(n + r * (u_n + b_m)) + z * state[0]
        return (hidden,), hidden

    def lstm(u: Any, b_m: Any, state: Any, from_input: Any) -> Any:
        i, f, g, o = jnp.split(from_input + state[0] @ u, 4, -1)
        memory = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(memory)
        return (hidden, memory), hidden

    def run(name: str, step: Callable[..., Any], shape: Shape) -> dict[str, Work]:
        size, gates = shape.hidden_size, len(CELLS[name].gates)
        sizes = [(size, gates * size), (size, gates * size), (gates * size,), (size,)]
        sizes += [(shape.time, shape.batch, size)] * 2
        keys = jax.random.split(jax.random.key(0), len(sizes))
        *weights, x, gradient = (jax.random.normal(key, size) / 16 for key, size in zip(keys, sizes, strict=True))
        zeros = (jnp.zeros((shape.batch, size)),) * len(CELLS[name].state)

        def layer(weights: Any, x: Any) -> Any:
            w, u, b, b_m = weights
            return jax.lax.scan(lambda state, part: step(u, b_m, state, part), zeros, x @ w + b)[1]

        def layer_and_gradients(weights: Any, x: Any, gradient: Any) -> Any:
            outputs, back = jax.vjp(layer, weights, x)
            return outputs, back(gradient)

        forward, both = jax.jit(layer), jax.jit(layer_and_gradients)
        return {
            "forward": lambda: jax.block_until_ready(forward(weights, x)),
            "forward+backward": lambda: jax.block_until_ready(both(weights, x, gradient)),
        }

    return {step.__name__: partial(run, step.__name__, step) for step in (rnn, gru, lstm)}


def _load_keras(threads: int) -> dict[str, Run]:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tensorflow: Any = import_module("tensorflow")
    keras: Any = import_module("keras")
    tensorflow.config.set_visible_devices([], "GPU")
    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(threads)

    def run(name: str, shape: Shape) -> dict[str, Work]:
        layer = getattr(keras.layers, name)(shape.hidden_size, return_sequences=True)
        x = tensorflow.random.normal((shape.batch, shape.time, shape.hidden_size))
        gradient = tensorflow.random.normal(x.shape)
        layer(x)  # creates the weights
        forward = tensorflow.function(layer)

        @tensorflow.function  # type: ignore[untyped-decorator]
        def both() -> Any:
            with tensorflow.GradientTape() as tape:
                tape.watch(x)
                outputs = layer(x)
            return outputs, tape.gradient(outputs, [x, *layer.trainable_variables], gradient)

        return {
            "forward": lambda: forward(x).numpy(),
            "forward+backward": lambda: [part.numpy() for part in tensorflow.nest.flatten(both())],
        }

    return {cell: partial(run, name) for cell, name in {"rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}.items()}
