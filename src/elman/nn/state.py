"""The state of a recurrent layer: what it carries from one time step, chunk or call to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from elman.errors import UsageError

MERGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "concat": lambda ahead, back: torch.cat((ahead, back), dim=-1),
    "sum": torch.add,
    "product": torch.mul,
}
"""The ways to merge the outputs of two directions into one."""

PublicState = Tensor | tuple[Tensor, ...]
"""A state in the form of torch.nn: a tensor or, if there are several parts, a tuple of tensors."""


class State(dict[str, Tensor]):
    """The parts of a state by name, such as ``hidden`` and ``cell``, in the order given in the table of cells.

    Between layers and models a part is (L·D, B, H): layers and directions, then the rows of the batch. A part may have
    any dtype; ``mean`` and ``interpolate`` need floating-point numbers. A state is a value: no method changes it.

    Example:
        >>> import torch
        >>> state = State(hidden=torch.zeros(1, 2, 3), cell=torch.ones(1, 2, 3))
        >>> state.select_rows(torch.tensor([1, 1, 0])).batch_size
        3
        >>> hidden, cell = state.public()
    """

    @classmethod
    def of(cls, names: Sequence[str], given: Any) -> State:
        """Name the parts of a state passed by a caller.

        Args:
            names: the parts that the state must have, in order.
            given: a state, a mapping with the same names or, as in torch.nn, a tensor or a tuple of tensors.

        Raises:
            UsageError: the parts are different ones.

        Example:
            >>> State.of(["hidden"], {"hidden": 1, "cell": 2})
            Traceback (most recent call last):
            elman.errors.UsageError: the state has the parts (hidden, cell), expected (hidden)
        """
        expected = ", ".join(names)
        if isinstance(given, Mapping):
            if set(given) != set(names):
                raise UsageError(f"the state has the parts ({', '.join(map(str, given))}), expected ({expected})")
            return cls((name, given[name]) for name in names)
        if len(names) == 1:
            if not isinstance(given, Tensor):
                raise UsageError(f"the state is a {type(given).__name__}, expected one tensor, the {expected} state")
            return cls({names[0]: given})
        if not isinstance(given, tuple | list) or len(given) != len(names):
            number = f" of {len(given)}" if isinstance(given, tuple | list) else ""
            wanted = "a pair" if len(names) == 2 else f"{len(names)} tensors"
            raise UsageError(f"the state is a {type(given).__name__}{number}, expected {wanted} ({expected})")
        return cls(zip(names, given, strict=True))

    @classmethod
    def join(cls, states: Sequence[State], join: Callable[[list[Tensor]], Tensor]) -> State:
        """Join several states part by part, for example with ``torch.cat`` or ``torch.stack``."""
        return cls((name, join([state[name] for state in states])) for name in states[0])

    @classmethod
    def mean(cls, states: Sequence[State]) -> State:
        """Average several states part by part.

        Raises:
            UsageError: there are none, or they differ in their parts or shapes.

        Example:
            >>> State.mean([State(hidden=torch.zeros(1, 1, 2)), State(hidden=torch.ones(1, 1, 2))])
            {'hidden': tensor([[[0.5000, 0.5000]]])}
        """
        if not states:
            raise UsageError("there are no states to average; give at least one")
        for state in states:
            states[0]._check_alike(state)
        return cls.join(states, lambda parts: torch.stack(parts).mean(dim=0))

    def interpolate(self, other: State, weight: float) -> State:
        """Return the state on the line between this one (weight 0) and another (weight 1).

        Raises:
            UsageError: the states differ in their parts or shapes.

        Example:
            >>> State(hidden=torch.zeros(1, 1, 2)).interpolate(State(hidden=torch.ones(1, 1, 2)), 0.25)
            {'hidden': tensor([[[0.2500, 0.2500]]])}
        """
        self._check_alike(other)
        return State((name, torch.lerp(part, other[name], weight)) for name, part in self.items())

    def patch(self, other: State, units: Sequence[int], part: str = "hidden", layer: int = 0) -> State:
        """Return this state with some units of one layer and part taken from another state.

        Args:
            other: a state of the same shapes.
            units: their numbers, from 0.
            part: such as ``hidden`` or ``cell``.
            layer: its row of the part; the rows of a bidirectional network are its directions, layer by layer.

        Raises:
            UsageError: the states differ in their parts or shapes, or there is no such part, layer or unit.

        Example:
            >>> State(hidden=torch.zeros(1, 1, 3)).patch(State(hidden=torch.ones(1, 1, 3)), [0, 2])
            {'hidden': tensor([[[1., 0., 1.]]])}
        """
        self._check_alike(other)
        if part not in self:
            raise UsageError(f'part is "{part}", expected one of: {", ".join(self)}')
        layers, _, size = self[part].shape
        for name, number, limit in [("layer", layer, layers), *(("unit", unit, size) for unit in units)]:
            if not 0 <= number < limit:
                raise UsageError(f"{name} is {number}, expected 0 to {limit - 1}")
        patched = self[part].clone()
        patched[layer, :, list(units)] = other[part][layer, :, list(units)]
        return State({**self, part: patched})

    def _check_alike(self, other: State) -> None:
        """Raise UsageError if another state has other parts or shapes."""
        own, given = ({name: tuple(part.shape) for name, part in state.items()} for state in (self, other))
        if own != given:
            raise UsageError(
                f"the states have different shapes: {own} and {given}; use states of equal models and rows"
            )

    def public(self) -> PublicState:
        """Return the state in the form of torch.nn: a tensor or, if there are several parts, a tuple of tensors."""
        parts = tuple(self.values())
        return parts[0] if len(parts) == 1 else parts

    def map(self, change: Callable[[Tensor], Tensor]) -> State:
        """Apply a function to each part."""
        return State((name, change(part)) for name, part in self.items())

    @property
    def batch_size(self) -> int:
        """The number of rows."""
        return next(iter(self.values())).shape[1]

    def select_rows(self, rows: Tensor) -> State:
        """Select rows of the batch, in any order and with repetitions."""
        return self.map(lambda part: part[:, rows])

    def expand(self, batch_size: int) -> State:
        """Repeat the state of one row for a whole batch.

        Raises:
            UsageError: the state has neither one row nor ``batch_size`` rows.
        """
        if self.batch_size not in (1, batch_size):
            expected = "1" if batch_size == 1 else f"1 or {batch_size}"
            raise UsageError(f"the state has {self.batch_size} rows, expected {expected}")
        return self.map(lambda part: part.expand(-1, batch_size, *part.shape[2:]).contiguous())

    def merge_directions(self, merge: str) -> State:
        """Merge the two directions of each layer; see :data:`MERGES`. Each part becomes (L, B, ...)."""
        return self.map(lambda part: MERGES[merge](part[0::2], part[1::2]))

    def detach(self) -> State:
        """Detach every part from the graph that computed it."""
        return self.map(Tensor.detach)
