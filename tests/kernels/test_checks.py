"""Arguments of a kernel with one thing wrong give an error or the right numbers.

Every tensor lies in the middle of a larger one whose edges hold a sentinel, which shows what is written out of bounds.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.decoding.beam import beam_search
from elman.decoding.options import Sampling
from elman.decoding.sampling import draw, probabilities
from elman.decoding.viterbi import viterbi
from elman.errors import UsageError
from elman.families.next_token import LanguageNetwork
from elman.kernels import ops
from elman.kernels.chain import best_paths, sum_over_paths
from elman.kernels.generate import Writer, draw_options
from elman.models.language_model import LanguageModel
from elman.nn import GRU, LSTM, RNN
from elman.nn.attention import Attention
from elman.nn.outputs.crf import LinearChainCRF
from elman.nn.outputs.pooling import Pooling
from elman.nn.window import Window

STEPS, ROWS, INPUTS, UNITS, LABELS = 4, 3, 5, 6, 4
GUARD, SENTINEL = 64, 77  # so many elements on either side of a tensor hold this number


class Guarded:
    """Tensors with guard rows around them."""

    def __init__(self) -> None:
        self._rooms: list[tuple[torch.Tensor, torch.Tensor]] = []

    def put(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a copy of a tensor between two guards."""
        room = torch.full((tensor.numel() + 2 * GUARD,), SENTINEL).to(tensor.dtype)
        room[GUARD : GUARD + tensor.numel()] = tensor.flatten()
        self._rooms.append((room, self._edges(room)))
        return room[GUARD : GUARD + tensor.numel()].view(tensor.shape)

    def are_whole(self) -> bool:
        """Whether no memory outside the tensors was written."""
        return all(torch.equal(self._edges(room), before) for room, before in self._rooms)

    @staticmethod
    def _edges(room: torch.Tensor) -> torch.Tensor:
        return torch.cat((room[:GUARD], room[-GUARD:]))


def _is_real(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not value.is_complex() and not value.is_meta


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


# ---------------------------------------------------------------- what can be off


def changes(tensor: torch.Tensor) -> dict[str, Callable[[torch.Tensor], Any]]:
    """Every way in which one thing about a tensor can be wrong."""
    found: dict[str, Callable[[torch.Tensor], Any]] = {
        "one dimension more": lambda t: t[None],
        "on meta": lambda t: t.to("meta"),
        "no tensor": lambda t: t.numpy(),
        "a pair": lambda t: (t, t),
        "nothing": lambda t: None,
    }
    if tensor.dim():
        found["one dimension less"] = lambda t: t[0] if len(t) else t.sum()
    for other in (torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.complex64, torch.bool):
        if other != tensor.dtype:
            found[f"as {other}"] = lambda t, other=other: t.to(other)
    for axis in range(tensor.dim()):
        one = torch.ones([1 if place == axis else size for place, size in enumerate(tensor.shape)])
        found[f"one more along {axis}"] = lambda t, axis=axis, one=one: torch.cat((t, one.to(t.dtype)), axis)
        if tensor.shape[axis] > 0:
            found[f"one less along {axis}"] = lambda t, axis=axis: t.narrow(axis, 0, t.shape[axis] - 1)
        found[f"none along {axis}"] = lambda t, axis=axis: t.narrow(axis, 0, 0)
        found[f"not contiguous along {axis}"] = lambda t, axis=axis: torch.stack((t, t), axis + 1).select(axis + 1, 1)
    return found


@dataclasses.dataclass
class Door:
    """A function that passes tensors to a kernel, and its valid arguments."""

    call: Callable[..., Any]
    tensors: dict[str, torch.Tensor]
    others: dict[str, Any] = dataclasses.field(default_factory=dict)
    free: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    """The dimensions in which another size is valid too."""
    optional: tuple[str, ...] = ()


def numbers(result: Any) -> list[torch.Tensor]:
    """The tensors in a result of any structure."""
    if isinstance(result, torch.Tensor):
        return [result.detach().double()]
    if isinstance(result, tuple | list):
        return [tensor for part in result for tensor in numbers(part)]
    return []


def recurrent(mode: str, directions: int = 2) -> Door:
    gates = {"RNN_TANH": 1, "GRU": 3, "LSTM": 4}[mode] * UNITS
    tensors = {"inputs": random(STEPS, ROWS, INPUTS), "hidden": random(directions, ROWS, UNITS)}
    if mode == "LSTM":
        tensors["cell"] = random(directions, ROWS, UNITS)
    for suffix in ("", "_reverse")[:directions]:
        tensors[f"weight_ih{suffix}"], tensors[f"weight_hh{suffix}"] = random(gates, INPUTS), random(gates, UNITS)
        tensors[f"bias_ih{suffix}"], tensors[f"bias_hh{suffix}"] = random(gates), random(gates)
    tensors["lengths"] = torch.tensor([4, 2, 3])
    names = [f"{part}{suffix}" for suffix in ("", "_reverse") for part in ops.WEIGHT_NAMES]

    def call(**given: Any) -> Any:
        weights = [given.get(name) for name in names]
        arguments = (given["inputs"], given["hidden"], given.get("cell"), *weights, given.get("lengths"))
        return torch.ops.elman.recurrent(*arguments, mode, 2, True)[:2]

    return Door(call, tensors, free={"inputs": (0,)}, optional=("lengths",))


def backward(mode: str) -> Door:
    ahead = recurrent(mode, directions=1)
    given = ahead.tensors
    weights = [given["weight_ih"], given["weight_hh"], given["bias_ih"], given["bias_hh"], *[None] * 4]
    run = torch.ops.elman.recurrent(
        given["inputs"], given["hidden"], given.get("cell"), *weights, given["lengths"], mode, 2, True
    )
    outputs, hidden_n, _, gates, cells = run
    tensors = {"d_outputs": random(*outputs.shape), "d_hidden": random(*hidden_n.shape)}
    if mode == "LSTM":
        tensors["d_cell"] = random(*hidden_n.shape)
    tensors |= {name: given[name] for name in ("inputs", "hidden", "weight_ih", "weight_hh", "lengths")}
    tensors |= {"outputs": outputs, "gates": gates, "cells": cells}

    def call(**named: Any) -> Any:
        first = (named["d_outputs"], named["d_hidden"], named.get("d_cell"), named["inputs"], named["hidden"])
        then = (named["weight_ih"], named["weight_hh"], None, None, named.get("lengths"))
        last = (named["outputs"], named["gates"], named["cells"], mode, 2, True)
        return torch.ops.elman.recurrent_backward(*first, *then, *last)

    return Door(call, tensors, optional=("lengths",) if mode == "RNN_TANH" else ())


def layer(kind: Any) -> Door:
    torch.manual_seed(1)
    made = kind(INPUTS, UNITS, 2, bidirectional=True, backend="fused").eval()
    tensors = {"input": random(STEPS, ROWS, INPUTS), "hidden": random(4, ROWS, UNITS)}
    if kind is LSTM:
        tensors["cell"] = random(4, ROWS, UNITS)
    tensors["lengths"] = torch.tensor([4, 2, 3])

    def call(input: Any, hidden: Any, lengths: Any, cell: Any = None) -> Any:
        with torch.no_grad():
            return made(input, hx=(hidden, cell) if kind is LSTM else hidden, lengths=lengths)

    return Door(call, tensors, free={"input": (0,)}, optional=("lengths",) if kind is LSTM else ("lengths", "hidden"))


def written(mode: str) -> Door:
    """The writer: weights at construction, the rest at each call."""
    gates = {"RNN_TANH": 1, "GRU": 3, "LSTM": 4}[mode] * UNITS
    tensors = {
        "embedding": random(7, INPUTS),
        "weight_ih": random(gates, INPUTS),
        "weight_hh": random(gates, UNITS),
        "bias_ih": random(gates),
        "bias_hh": random(gates),
        "head": random(7, UNITS),
        "head_bias": random(7),
        "logits": random(2, 7),
        "hidden": random(1, 2, UNITS),
    }
    if mode == "LSTM":
        tensors["cell"] = random(1, 2, UNITS)
    tensors["uniforms"] = torch.rand(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    tensors["options"] = draw_options(repetition_penalty=1.2).repeat(2, 1)
    tensors["seen"] = torch.zeros(2, 7, dtype=torch.bool)
    tensors["forbidden"] = torch.eye(7, dtype=torch.bool)[:2]

    def call(**given: Any) -> Any:
        weights = [[given[name] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]]
        writer = Writer(mode, given["embedding"], weights, given["head"], given["head_bias"])
        state = (given["hidden"],) if mode != "LSTM" else (given["hidden"], given["cell"])
        own = (given[name] for name in ("uniforms", "options", "seen", "forbidden"))
        ids = writer.write(given["logits"], state, *own)
        return ids, writer.next_logits(state)

    return Door(call, tensors, free={"uniforms": (1,)}, optional=("seen", "forbidden"))


def language_network(cell: str) -> Door:
    torch.manual_seed(1)
    sizes: Any = {"cell": cell, "hidden_size": UNITS, "num_layers": 2}
    network = LanguageNetwork(7, embedding_size=INPUTS, **sizes).eval()
    tensors = {"hidden": random(2, 1, UNITS)} | ({"cell": random(2, 1, UNITS)} if cell == "lstm" else {})

    def call(hidden: Any, cell: Any = None) -> Any:
        with torch.no_grad():
            return network.next_logits(hidden if cell is None and "cell" not in tensors else (hidden, cell))

    return Door(call, tensors, free={"hidden": (1,)})


def crf() -> LinearChainCRF:
    made = LinearChainCRF(LABELS)
    torch.nn.init.normal_(made.transitions, generator=torch.Generator().manual_seed(1))
    return made


SCORES = {"transitions": random(LABELS, LABELS), "start": random(LABELS), "end": random(LABELS)}
PATHS = {"logits": random(ROWS, STEPS, LABELS), "lengths": torch.tensor([4, 2, 3])}
TARGETS = torch.tensor([[0, 1, 2, 3], [3, 2, -100, -100], [1, 1, 1, -100]])
torch.manual_seed(1)
ATTENTION = Attention("luong", UNITS, INPUTS).requires_grad_(False)
POOLING = Pooling("attention", UNITS).requires_grad_(False)
WINDOW = Window(INPUTS, UNITS, window=2).requires_grad_(False)


def searched(logits: Any) -> Any:
    @dataclasses.dataclass
    class Nothing:
        def select(self, sentences: Any, rows: Any) -> "Nothing":
            return self

    found = beam_search(
        lambda ids, state: (logits, state), Nothing(), 1, begin_id=1, end_id=2, beam_size=2, max_length=2
    )
    return torch.tensor([hypothesis.score for hypothesis in found[0]])


DOORS: dict[str, Callable[[], Door]] = {
    **{f"recurrent {mode}": lambda mode=mode: recurrent(mode) for mode in ("RNN_TANH", "GRU", "LSTM")},
    **{f"recurrent_backward {mode}": lambda mode=mode: backward(mode) for mode in ("RNN_TANH", "GRU", "LSTM")},
    **{f"layer {kind.__name__}": lambda kind=kind: layer(kind) for kind in (RNN, GRU, LSTM)},
    **{f"Writer {mode}": lambda mode=mode: written(mode) for mode in ("RNN_TANH", "GRU", "LSTM")},
    **{f"next_logits {cell}": lambda cell=cell: language_network(cell) for cell in ("gru", "lstm")},
    "sum_over_paths": lambda: Door(sum_over_paths, {**PATHS, **SCORES}, free={"logits": (1,)}, optional=("lengths",)),
    "best_paths": lambda: Door(best_paths, {**PATHS, **SCORES}, {"padding": -1}, {"logits": (1,)}, ("lengths",)),
    "viterbi": lambda: Door(viterbi, {**PATHS, **SCORES}, free={"logits": (1,)}, optional=("lengths",)),
    "CRF loss": lambda: Door(crf().loss_sum, {**PATHS, "targets": TARGETS}),
    "CRF decode": lambda: Door(crf().decode, PATHS, free={"logits": (1,)}, optional=("lengths",)),
    "CRF marginals": lambda: Door(crf().marginals, PATHS, free={"logits": (1,)}, optional=("lengths",)),
    "probabilities": lambda: Door(
        probabilities,
        {"logits": random(2, 7), "seen": torch.ones(2, 7, dtype=torch.bool)},
        {"sampling": Sampling(repetition_penalty=1.5)},
        optional=("seen",),
    ),
    "draw": lambda: Door(
        draw,
        {"probs": random(2, 7).softmax(-1), "uniforms": torch.tensor([0.3, 0.8], dtype=torch.float64)},
        free={"probs": (1,)},
    ),
    "beam_search": lambda: Door(searched, {"logits": random(3, 7)}, free={"logits": (1,)}),
    "attention": lambda: Door(
        lambda outputs, lengths, queries: ATTENTION(queries, ATTENTION.remember(outputs, lengths)),
        {"outputs": random(ROWS, STEPS, INPUTS), "lengths": torch.tensor([4, 2, 3]), "queries": random(ROWS, 2, UNITS)},
        free={"outputs": (1,), "queries": (1,)},
        optional=("lengths",),
    ),
    "pooling": lambda: Door(
        lambda outputs, last, lengths: POOLING(outputs, last, lengths),
        {"outputs": random(ROWS, STEPS, UNITS), "last": random(ROWS, UNITS), "lengths": torch.tensor([4, 2, 3])},
        free={"outputs": (1,)},
        optional=("lengths",),
    ),
    "window": lambda: Door(
        lambda input, hx: WINDOW(input, hx),
        {"input": random(ROWS, STEPS, INPUTS), "hx": random(1, ROWS, 2 * INPUTS)},
        free={"input": (1,)},
        optional=("hx",),
    ),
}


@pytest.mark.parametrize("name", DOORS)
def test_a_wrong_tensor_is_refused_or_computed_correctly(name):
    door = DOORS[name]()
    some = {which: tensor for which, tensor in door.tensors.items() if tensor.numel()}  # an RNN keeps no gates
    ways = [(which, change) for which, tensor in some.items() for change in changes(tensor)]

    @settings(max_examples=40, database=None)
    @given(st.sampled_from(ways))
    def check(way: tuple[str, str]) -> None:
        which, change = way
        kind, _, axis = change.rpartition(" along ")
        guarded = Guarded()
        tensors: dict[str, Any] = {part: guarded.put(tensor) for part, tensor in door.tensors.items()}
        tensors[which] = off = changes(door.tensors[which])[change](tensors[which])
        plain = off.to(door.tensors[which].dtype, copy=True).contiguous() if _is_real(off) else None
        try:
            found = numbers(door.call(**tensors, **door.others))
        except (UsageError, RuntimeError, TypeError):  # torch's dispatcher raises the last two
            found = None
        assert guarded.are_whole(), f"{which} {change}: somebody wrote beyond a tensor"
        if kind == "not contiguous":
            assert found is not None, f"{which} {change} was refused"
        if found is None:
            return
        if change == "nothing":
            assert which in door.optional, f"{which} was not missed"
            return
        if kind in ("one more", "one less", "none"):
            assert int(axis) in door.free.get(which, ()), f"{which} {change} was taken"
        assert kind or change.startswith("as ") or change == "no tensor", f"{which} {change} was taken"
        if plain is None:
            plain = torch.as_tensor(off)
        clones = {part: tensor.clone() for part, tensor in door.tensors.items()}  # a writer brings its state up to date
        right = numbers(door.call(**{**clones, which: plain}, **door.others))
        assert [one.shape for one in found] == [other.shape for other in right]
        for one, other in zip(found, right, strict=True):
            # 1e-2: a result in half precision is rounded; garbage is off by more
            torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-2)

    check()


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_a_state_from_autocast_is_refused_without_autocast(kind):
    layer = kind(32, 48)
    inputs = random(6, 8, 32)
    with torch.autocast("cpu", torch.bfloat16):
        _, state = layer(inputs)
        outputs, _ = layer(inputs, state)  # within autocast it does
    assert torch.isfinite(outputs).all()
    first = state[0] if isinstance(state, tuple) else state
    if first.dtype != torch.float32:
        with pytest.raises(UsageError, match=r"state is torch.bfloat16, expected torch.float32"):
            layer(inputs, state)


def test_a_state_is_not_modified_in_place():
    torch.manual_seed(1)
    model = LanguageModel(hidden_size=8, embedding_size=4, steps=2, batch_size=2, bptt_length=8).fit(
        "the cat sat\n" * 30
    )
    _, state = model.read("the ")
    before = [part.clone() for part in state]
    text = model.generate(state=state, max_tokens=20, seed=1)
    assert all(torch.equal(part, other) for part, other in zip(state, before, strict=True))
    assert model.generate(state=state, max_tokens=20, seed=1) == text
