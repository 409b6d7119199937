"""What a model computes at every step of its inputs: states, cells, gates, outputs, losses and attention."""

from __future__ import annotations

import html
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.data.batching import IGNORED
from elman.draws import drawing
from elman.errors import DataError, UsageError
from elman.families.base import Model
from elman.families.unrolled import Unrolled
from elman.files import replacing
from elman.nn.recording import Intervention, Recording, recording
from elman.nn.stack import Recurrent

logger = logging.getLogger(__name__)

MOST_SHOWN = 300  # tokens in a notebook
UNKNOWN_MEMORY = 2 << 30  # bytes assumed to be free if the system does not report it


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

    def save(self, path: Path | str, more: Mapping[str, NDArray[Any]] | None = None) -> None:
        """Write an ``.npz`` with all arrays by name, ``tokens``, ``losses`` and so on.

        Args:
            path: the file.
            more: further arrays by name.

        Raises:
            StorageError: it cannot be written.
        """
        with replacing(Path(path), "name another file") as beside, beside.open("wb") as file:
            np.savez(file, **self.named_arrays(), **(more or {}))  # type: ignore[arg-type]

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


def trace(
    model: Model,
    X: Any,  # noqa: N803
    y: Any = None,
    *,
    steps: int | None = None,
    record: int | None = None,
    top: int = 10,
) -> Trace:
    r"""Record what a model computes at every step.

    Args:
        model: a fitted model of any task.
        X: the inputs, as ``predict`` takes them; a text for a language model, tunes for a composer.
        y: the targets, for supervised models; by default the model's own predictions.
        steps: record only this many steps of each input. A language model and a composer stop reading there.
        record: trace this input only, counted from 1.
        top: how many of the most likely outputs to record.

    Returns:
        The states, cells and gates of every layer and direction, the most likely outputs, losses and attention.

    Raises:
        UsageError: the model has no recurrent layers, is not fitted, or an argument is outside its limits.
        DataError: there is no such record, or no token that the model knows.

    Example:
        >>> from elman import LanguageModel
        >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit("to be or not to be\n" * 80)
        >>> found = trace(lm, "to be")
        >>> found.states.shape, list(found.arrays)[:2]
        ((1, 5, 16), ['layer0.forward.hidden', 'layer0.forward.cell'])
    """
    check_model(model)
    if top < 1:
        raise UsageError(f"top is {top}, expected at least 1")
    left = _read_free_memory() // 2
    most = max(left // _estimate_bytes_per_step(model), 1)
    parts: list[Trace] = []
    for unrolled in select(model, X, y, steps=steps, most=most, record=record):
        length = sum(len(stack.tokens) for stack in unrolled.stacks.values())
        if parts and length > most:
            logger.warning("memory is enough for the first %s inputs only; look at fewer at a time", f"{len(parts):,}")
            break
        most -= length
        parts.append(trace_unrolled(model, unrolled, steps, top))
    if not parts:
        raise DataError("X is empty; give at least one input")
    return parts[0] if len(parts) == 1 else _join(parts)


def select(
    model: Model,
    X: Any,  # noqa: N803
    y: Any = None,
    *,
    steps: int | None = None,
    most: int | None = None,
    record: int | None = None,
) -> Iterator[Unrolled]:
    """Unroll the model over the inputs to inspect.

    Args:
        model: a fitted model.
        X: the inputs.
        y: the targets.
        steps: the number of steps to read of each input.
        most: the maximum number of steps; a longer input is cut, with a warning.
        record: the only input to yield, counted from 1.

    Raises:
        UsageError: ``steps`` or ``record`` is below 1.
        DataError: there is no such record.
    """
    for name, number in (("steps", steps), ("record", record)):
        if number is not None and number < 1:
            raise UsageError(f"{name} is {number}, expected at least 1")
    limit = min((number for number in (steps, most) if number is not None), default=None)
    with drawing(model.seed):
        found = model.unroll(X, y, steps=limit)
    number = 0
    for number, unrolled in enumerate(found, start=1):
        if record is not None and number != record:
            continue
        if unrolled.is_cut and limit != steps:
            logger.warning("the input is longer than memory allows: its first %s steps are read", f"{limit:,}")
        yield unrolled
        if record is not None:
            return
    if record is not None:
        raise DataError(f"there is no record {record}: the input has {number:,}")


def check_model(model: Any) -> None:
    """Raise UsageError if this is not a fitted model."""
    if not isinstance(model, Model):
        raise UsageError(
            f"the model is of type {type(model).__name__}; give a fitted model, such as elman.load returns"
        )
    model._check_fitted()


def run_recorded(
    model: Model,
    unrolled: Unrolled,
    inputs: Tensor,
    interventions: Mapping[Recurrent, Sequence[Intervention]] | None = None,
) -> tuple[Recording, Any, Any]:
    """Run a network over inputs (R, …) and record it: the recording, the logits (R, T_out, V) and the attention."""
    with recording(interventions=interventions) as record, drawing(model.seed):
        logits, attention = unrolled.run(inputs)
    return record, logits, attention


def trace_unrolled(model: Model, unrolled: Unrolled, steps: int | None, top: int) -> Trace:
    """Trace one unrolled input; see :func:`trace`."""
    with torch.no_grad():
        record, logits, attention = run_recorded(model, unrolled, unrolled.inputs[None])
        log_probabilities = unrolled.log_probabilities(logits)[0]  # (M, V)
        arrays: dict[str, NDArray[Any]] = {}
        for name, prefix in unrolled.prefixes.items():
            stack = unrolled.stacks[name]
            for run in record.of(stack.layer):
                place = f"{prefix}{run.name}"
                for part, values in run.states.items():
                    arrays[f"{place}.{part}"] = _to_array(values, steps)
                gates = run.gates.values() if run.layer.cell.symbols else ()
                for symbol, values in zip(run.layer.cell.symbols, gates, strict=False):
                    arrays[f"{place}.gate.{symbol}"] = _to_array(values, steps)
        best = log_probabilities.topk(min(top, log_probabilities.shape[-1]), dim=-1)
        targets = log_probabilities.argmax(dim=-1).cpu() if unrolled.targets is None else unrolled.targets
        known = targets != IGNORED
        losses = np.full(len(targets), np.nan)
        rows = torch.arange(len(targets))[known]
        losses[known.numpy()] = -log_probabilities.cpu()[rows, targets[known]].double().numpy()
    *sources, last = unrolled.stacks.values()
    names = np.array(unrolled.names, np.str_)
    own = slice(0, steps) if last.is_aligned else slice(None)
    tokens, source_tokens = list(last.tokens[:steps]), [token for stack in sources for token in stack.tokens[:steps]]
    weights = [] if attention is None else [attention[0, own, :steps].cpu().numpy()]
    found = [unrolled.names[number] if number != IGNORED else None for number in targets.tolist()][own]
    return Trace(
        task=model.task,
        arrays=arrays,
        tokens=tokens,
        offsets=np.array([0, len(tokens)], np.int64),
        targets=found,
        losses=losses[own],
        top_tokens=names[best.indices.cpu().numpy()][own],
        top_probabilities=best.values.double().exp().cpu().numpy()[own],
        output_offsets=np.array([0, len(found)], np.int64),
        source_tokens=source_tokens,
        source_offsets=np.array([0, len(source_tokens)], np.int64),
        attention=weights,
        places=list(unrolled.places),
    )


def _to_array(values: Tensor, steps: int | None) -> NDArray[Any]:
    found: NDArray[Any] = values[:steps, 0].detach().cpu().numpy()
    return found


def _join(parts: list[Trace]) -> Trace:
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


def _estimate_bytes_per_step(model: Model) -> int:
    """Estimate the bytes that tracing one step needs: states and gates twice, outputs three times."""
    numbers: int = 3 * model.network_.head.weight.shape[0]
    for layer in model.network_.modules():
        if isinstance(layer, Recurrent):
            parts = len(layer.cell.state) + len(layer.cell.gates)
            numbers += 2 * layer.num_layers * layer.num_directions * parts * layer.hidden_size
    return 4 * numbers


def _read_free_memory() -> int:
    """Return the bytes of memory that are available."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return int(os.sysconf("SC_AVPHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return UNKNOWN_MEMORY


def to_lists(array: NDArray[Any]) -> Any:
    """Return an array as lists for JSON; NaN and infinity, which JSON lacks, become None."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        objects = array.astype(object)
        objects[~np.isfinite(array)] = None
        return objects.tolist()
    return array.tolist()
