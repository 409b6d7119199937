"""The state of a recurrent layer: what it carries from one time step, one chunk or one call to the next."""

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
"""How the outputs of two directions become one."""

PublicState = Tensor | tuple[Tensor, ...]
"""A state as torch.nn has it: a tensor or, where there are several parts, a tuple of them."""


class State(dict[str, Tensor]):
    """The parts of a state by name, such as ``hidden`` and ``cell``, in the order of the cell's entry in the table.

    Between layers and models a part is (L·D, B, H): layers and directions, then the rows of the batch. A part need not
    be floating-point numbers; nothing here computes with them. A state is a value: no method changes it in place.

    Example:
        >>> import torch
        >>> state = State(hidden=torch.zeros(1, 2, 3), cell=torch.ones(1, 2, 3))
        >>> state.select_rows(torch.tensor([1, 1, 0])).batch_size
        3
        >>> hidden, cell = state.public()
    """

    @classmethod
    def of(cls, names: Sequence[str], given: Any) -> State:
        """Name the parts of what a caller hands in.

        Args:
            names: the parts that the state must have, in order.
            given: a state, a mapping of the same names or, as torch.nn has it, a tensor or a tuple of tensors.

        Raises:
            UsageError: it has other parts.

        Example:
            >>> State.of(["hidden"], {"hidden": 1, "cell": 2})
            Traceback (most recent call last):
            elman.errors.UsageError: the state has the parts (hidden, cell), expected (hidden)
        """
        listed = ", ".join(names)
        if isinstance(given, Mapping):
            if set(given) != set(names):
                raise UsageError(f"the state has the parts ({', '.join(map(str, given))}), expected ({listed})")
            return cls((name, given[name]) for name in names)
        if len(names) == 1:
            if not isinstance(given, Tensor):
                raise UsageError(f"the state is a {type(given).__name__}, expected one tensor, the {listed} state")
            return cls({names[0]: given})
        if not isinstance(given, tuple | list) or len(given) != len(names):
            number = f" of {len(given)}" if isinstance(given, tuple | list) else ""
            wanted = "a pair" if len(names) == 2 else f"{len(names)} tensors"
            raise UsageError(f"the state is a {type(given).__name__}{number}, expected {wanted} ({listed})")
        return cls(zip(names, given, strict=True))

    @classmethod
    def join(cls, states: Sequence[State], join: Callable[[list[Tensor]], Tensor]) -> State:
        """Join several states part by part, such as with ``torch.cat`` or ``torch.stack``."""
        return cls((name, join([state[name] for state in states])) for name in states[0])

    def public(self) -> PublicState:
        """Return the state as torch.nn has it: a tensor or, where there are several parts, a tuple of them."""
        parts = tuple(self.values())
        return parts[0] if len(parts) == 1 else parts

    def map(self, change: Callable[[Tensor], Tensor]) -> State:
        """Return a state whose parts are changed one by one."""
        return State((name, change(part)) for name, part in self.items())

    @property
    def batch_size(self) -> int:
        """How many rows there are."""
        return next(iter(self.values())).shape[1]

    def select_rows(self, rows: Tensor) -> State:
        """Choose rows of the batch, in any order, each as often as wanted."""
        return self.map(lambda part: part[:, rows])

    def expand(self, batch_size: int) -> State:
        """Repeat the state of one row for a whole batch.

        Raises:
            UsageError: the state is of several rows, but not of as many.
        """
        if self.batch_size not in (1, batch_size):
            raise UsageError(f"the state is of {self.batch_size} streams, expected 1 or {batch_size}")
        return self.map(lambda part: part.expand(-1, batch_size, *part.shape[2:]).contiguous())

    def merge_directions(self, merge: str) -> State:
        """Merge the two directions of each layer, as :data:`MERGES` does: each part (L, B, ...)."""
        return self.map(lambda part: MERGES[merge](part[0::2], part[1::2]))

    def detach(self) -> State:
        """Return the same numbers, cut off from what computed them."""
        return self.map(Tensor.detach)
