"""What a model computed at every step of its inputs: states, cells, gates, outputs, losses and attention."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import UsageError
from elman.files import replacing

MOST_SHOWN = 300  # tokens in a notebook


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """What a model computed for one input or for several.

    ``trace[name]`` is an array, ``trace[number]`` the trace of one input, ``len(trace)`` the number of inputs.
    """

    task: str
    """The model's task."""
    arrays: dict[str, NDArray[Any]]
    """Arrays (T, H) by name: ``layer0.forward.hidden``, ``layer0.forward.cell``, ``layer0.forward.gate.i``,
    ``layer0.reverse.hidden`` and so on; row t is the value after step t. With an encoder and a decoder, all names begin
    with ``encoder.`` or ``decoder.``. The gates have their symbols in the equations: i, f, g, o for an LSTM, r, z, n
    for a GRU."""
    tokens: list[str]
    """The token read at each of the T steps."""
    offsets: NDArray[np.int64]
    """(N + 1,): input k has the steps ``offsets[k]`` to ``offsets[k + 1]``."""
    targets: list[str | None]
    """The target of each of the M outputs; None if it is unknown. If a supervised model is given none, these are the
    model's own predictions."""
    losses: NDArray[np.float64]
    """(M,) nats, the surprisal of each target, -log p(target); NaN without a target. With a CRF, p is the probability
    of the label given the whole sentence."""
    top_tokens: NDArray[np.str_]
    """(M, k), the most likely outputs, best first."""
    top_probabilities: NDArray[np.float64]
    """(M, k)."""
    output_offsets: NDArray[np.int64]
    """(N + 1,): input k has the outputs ``output_offsets[k]`` to ``output_offsets[k + 1]``."""
    source_tokens: list[str] = field(default_factory=list)
    """The token that an encoder reads at each of its S steps; empty for other models."""
    source_offsets: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    """(N + 1,): input k has the source tokens ``source_offsets[k]`` to ``source_offsets[k + 1]``."""
    attention: list[NDArray[Any]] = field(default_factory=list)
    """For each input (T, S): how much each output attends to each position; empty for a model without attention."""
    places: list[str] = field(default_factory=list)
    """The names of the S positions that attention covers, if they are not tokens."""

    def __len__(self) -> int:
        """Return the number of inputs."""
        return len(self.offsets) - 1

    def __getitem__(self, wanted: str | int) -> Any:
        """Return an array by its name, or the trace of one input by its number."""
        if isinstance(wanted, str):
            if wanted not in self.arrays:
                raise UsageError(f"there is no array {wanted!r}; there are {', '.join(self.arrays)}")
            return self.arrays[wanted]
        number = range(len(self))[wanted]
        steps, outputs = self._slice_input(self.offsets, number), self._slice_input(self.output_offsets, number)
        sources = self._slice_input(self.source_offsets, number) if self.source_tokens else slice(0, 0)

        def ends(part: slice) -> NDArray[np.int64]:
            return np.array([0, part.stop - part.start], np.int64)

        return Trace(
            task=self.task,
            arrays={
                name: array[sources if name.startswith("encoder.") else steps] for name, array in self.arrays.items()
            },
            tokens=self.tokens[steps],
            offsets=ends(steps),
            targets=self.targets[outputs],
            losses=self.losses[outputs],
            top_tokens=self.top_tokens[outputs],
            top_probabilities=self.top_probabilities[outputs],
            output_offsets=ends(outputs),
            source_tokens=self.source_tokens[sources],
            source_offsets=ends(sources),
            attention=self.attention[number : number + 1],
            places=self.places,
        )

    def __iter__(self) -> Iterator[Trace]:
        """Yield the trace of each input."""
        return (self[number] for number in range(len(self)))

    @property
    def states(self) -> NDArray[Any]:
        """The hidden states (layers · directions, T, H), layer by layer, the forward direction first.

        With an encoder and a decoder, these are the decoder's; ``source_states`` are the encoder's.
        """
        return self._stack("hidden", "decoder.")

    @property
    def source_states(self) -> NDArray[Any]:
        """The hidden states of an encoder (layers · directions, S, H).

        Raises:
            UsageError: the model has none.
        """
        if not self.source_tokens:
            raise UsageError(f"a {self.task} has no encoder; its states are in `states`")
        return self._stack("hidden", "encoder.")

    @property
    def cells(self) -> NDArray[Any]:
        """The cells of an LSTM, in the form of ``states``.

        Raises:
            UsageError: the model has none.
        """
        return self._stack("cell", "decoder.")

    def _stack(self, part: str, prefix: str) -> NDArray[Any]:
        prefix = prefix if self.source_tokens else ""
        found = [array for name, array in self.arrays.items() if name.startswith(prefix) and name.endswith(f".{part}")]
        if not found:
            raise UsageError(f"this model's state has no {part}; there are {', '.join(self.arrays)}")
        return np.stack(found)

    def _slice_input(self, offsets: NDArray[np.int64], number: int) -> slice:
        return slice(int(offsets[number]), int(offsets[number + 1]))

    # Other forms.

    def to_frame(self, stack: str | None = None) -> Any:
        """Return a pandas frame, a row for each step, a column for each unit of each array.

        Args:
            stack: ``encoder`` for the steps of the encoder; by default those of the stack that computes the outputs.

        Raises:
            UsageError: pandas is not installed, or there is no such stack.
        """
        try:
            import pandas as pd
        except ImportError:
            raise UsageError("to_frame needs pandas: install it with  pip install pandas") from None
        if stack not in ((None, "encoder", "decoder") if self.source_tokens else (None,)):
            raise UsageError(f"there is no stack {stack!r}; leave `stack` out")
        is_source = stack == "encoder"
        offsets = self.source_offsets if is_source else self.offsets
        columns: dict[str, Any] = {
            "input": np.repeat(np.arange(len(self)), np.diff(offsets)),
            "step": np.concatenate([np.arange(length) for length in np.diff(offsets)]),
            "token": self.source_tokens if is_source else self.tokens,
        }
        if not is_source and len(self.targets) == len(self.tokens):
            columns |= {"target": self.targets, "loss": self.losses, "top": self.top_tokens[:, 0]}
        parts = [pd.DataFrame(columns)]
        for name, array in self.arrays.items():
            if name.startswith("encoder.") == is_source:
                parts.append(pd.DataFrame(array, columns=[f"{name}[{unit}]" for unit in range(array.shape[1])]))
        return pd.concat(parts, axis=1)

    def named_arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays by name, as :meth:`save` writes them."""
        found: dict[str, NDArray[Any]] = {
            **self.arrays,
            "tokens": np.array(self.tokens, np.str_),
            "offsets": self.offsets,
            "targets": np.array(["" if target is None else target for target in self.targets], np.str_),
            "losses": self.losses,
            "top_tokens": self.top_tokens,
            "top_probabilities": self.top_probabilities,
            "output_offsets": self.output_offsets,
        }
        if self.source_tokens:
            found |= {"source_tokens": np.array(self.source_tokens, np.str_), "source_offsets": self.source_offsets}
        if self.places:
            found["places"] = np.array(self.places, np.str_)
        return found | {f"attention.{number}": weights for number, weights in enumerate(self.attention)}

    def save(self, path: Path | str) -> None:
        """Write an ``.npz`` with all arrays by name, ``tokens``, ``losses`` and so on.

        Args:
            path: the file.

        Raises:
            StorageError: it cannot be written.
        """
        save_arrays(path, self.named_arrays())

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object: lists of numbers, None for NaN."""
        named = {name: to_lists(array) for name, array in self.named_arrays().items() if name not in self.arrays}
        return {"task": self.task, "states": {name: to_lists(array) for name, array in self.arrays.items()}, **named}

    def __repr__(self) -> str:
        """Show the sizes in one line."""
        inputs = "one input" if len(self) == 1 else f"{len(self):,} inputs"
        return f"<Trace of a {self.task}: {inputs}, {len(self.tokens):,} steps, {len(self.arrays)} arrays>"

    def _repr_html_(self) -> str:
        """Show the first input's tokens, shaded by their loss, and a table of the arrays, in a notebook."""
        first = self[0] if len(self) else self
        losses = first.losses if len(first.losses) == len(first.tokens) else np.full(len(first.tokens), np.nan)
        shaded = []
        for step, token in enumerate(first.tokens[:MOST_SHOWN]):
            about = f"step {step}"
            shade = 0.0
            if not np.isnan(losses[step]):
                shade = min(float(losses[step]) / 6, 1.0)
                best = ", ".join(
                    f"{name!r} {share:.0%}"
                    for name, share in zip(first.top_tokens[step][:3], first.top_probabilities[step][:3], strict=True)
                )
                about += f", then {first.targets[step]!r}: {losses[step]:.2f} nats; most likely {best}"
            text = html.escape(token if token.strip() else {"\n": "↵"}.get(token, "␣"))
            title = html.escape(about, quote=True)
            shaded.append(f'<span title="{title}" style="background:rgba(220,80,20,{shade:.2f})">{text}</span>')
        blank = "" if self.task == "lm" and all(len(token) == 1 for token in first.tokens[:MOST_SHOWN]) else " "
        rest = " …" if len(first.tokens) > MOST_SHOWN else ""
        rows = "".join(
            f"<tr><td><code>{html.escape(name)}</code></td><td>{array.shape}</td>"
            f"<td>{array.min():.3g} … {array.max():.3g}</td></tr>"
            for name, array in first.arrays.items()
            if array.size
        )
        return (
            f"<p>{html.escape(repr(self)[1:-1])}; darker is more surprising</p><p style='font-family:monospace'>"
            f"{blank.join(shaded)}{rest}</p><table><tr><th>array</th><th>shape</th><th>range</th></tr>{rows}</table>"
        )


def join_traces(parts: list[Trace]) -> Trace:
    """Concatenate the traces of several inputs."""

    def offsets(each: str) -> NDArray[np.int64]:
        lengths = [getattr(part, each)[-1] for part in parts]
        return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)

    return Trace(
        task=parts[0].task,
        arrays={name: np.concatenate([part.arrays[name] for part in parts]) for name in parts[0].arrays},
        tokens=[token for part in parts for token in part.tokens],
        offsets=offsets("offsets"),
        targets=[target for part in parts for target in part.targets],
        losses=np.concatenate([part.losses for part in parts]),
        top_tokens=np.concatenate([part.top_tokens for part in parts]),
        top_probabilities=np.concatenate([part.top_probabilities for part in parts]),
        output_offsets=offsets("output_offsets"),
        source_tokens=[token for part in parts for token in part.source_tokens],
        source_offsets=offsets("source_offsets"),
        attention=[weights for part in parts for weights in part.attention],
        places=parts[0].places,
    )


def save_arrays(path: Path | str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an ``.npz`` with arrays by name.

    Raises:
        StorageError: it cannot be written.
    """
    with replacing(Path(path), "name another file") as beside, beside.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def to_lists(array: NDArray[Any]) -> Any:
    """Return an array as lists for JSON; NaN and infinity, which JSON lacks, become None."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        objects = array.astype(object)
        objects[~np.isfinite(array)] = None
        return objects.tolist()
    return array.tolist()
