"""Progress displays for training: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Self, TextIO, cast

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


class StepReport(NamedTuple):
    """The progress of the training after a step."""

    step: int
    total_steps: int
    nats: float  # per target on the training data, an exponential moving average
    targets_per_second: float
    seconds_left: float


class Messages:
    """A text stream for messages that never raises: a message that cannot be written is dropped.

    Args:
        stream: the stream to write to; None, which Python sets for a closed standard stream, drops everything.
    """

    errors = "backslashreplace"  # for characters that the stream's encoding lacks

    def __init__(self, stream: IO[str] | None) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text, as ``print`` does."""
        try:
            if self.stream is None:
                raise ValueError("there is no such stream")
            try:
                self.stream.write(text)
            except UnicodeEncodeError as error:
                self.stream.write(text.encode(error.encoding, self.errors).decode(error.encoding))
        except (OSError, ValueError) as error:  # ValueError: it is closed
            self.fail(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream."""
        try:
            if self.stream is not None:
                self.stream.flush()
        except (OSError, ValueError) as error:
            self.fail(error)

    def fail(self, error: OSError | ValueError) -> None:
        """Handle a failed write; does nothing here."""

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        with suppress(OSError, ValueError):
            return self.stream is not None and self.stream.isatty()
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Progress:
    """The base of the displays, which shows nothing: the default of a library call."""

    started: float | None = None
    """``time.perf_counter()`` when the time budget began, if that was before ``fit``, as for a command."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def note(self, text: str) -> None:
        """Show a message."""

    def step(self, report: StepReport) -> None:
        """Report that a step is done; called at every step, so it must be cheap."""

    def validated(self, step: int, metrics: dict[str, float | int], sample: str, *, best: bool) -> None:
        """Report the metrics of a validation and a sample of what the network can do now."""


class LineProgress(Progress):
    """Plain lines for logs and pipes: one every ten seconds, and one for every validation with its sample."""

    def __init__(self, stream: IO[str] | None, every_seconds: float = 10.0) -> None:
        self.stream = Messages(stream)
        self.every_seconds = every_seconds
        self._last = time.monotonic()
        self._bits_per_nat, self._target = 0.0, "target"

    def note(self, text: str) -> None:  # noqa: D102 (the base says it)
        print(text, file=self.stream, flush=True)

    def step(self, report: StepReport) -> None:  # noqa: D102
        now = time.monotonic()
        if now - self._last >= self.every_seconds:
            self._last = now
            self.note(describe(report, self._bits_per_nat, self._target))

    def validated(self, step: int, metrics: dict[str, float | int], sample: str, *, best: bool) -> None:  # noqa: D102
        self._bits_per_nat, self._target = bits_per_character_per_nat(metrics), target_of(metrics)
        self.note(f"step {step:,}: valid {describe_metrics(metrics)}{', the best so far' if best and step else ''}")
        if sample:
            self.note("\n".join(f"    | {line}" for line in sample.splitlines()))


class LiveProgress(Progress):
    """A display that updates in place on a terminal: bar, speed, losses, time left, and the latest sample."""

    def __init__(self, stream: IO[str] | None) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bars

        self._console = Console(file=cast(TextIO, Messages(stream)))
        self._bars = Bars(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            expand=True,
        )
        self._bar = self._bars.add_task("training", total=None, left="measuring the speed")
        self._figures = ""
        self._valid = ""
        self._sample = ""
        self._bits_per_nat, self._target = 0.0, "target"
        self._last = 0.0
        self._live: Live = Live(console=self._console, refresh_per_second=4, get_renderable=self._render)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def note(self, text: str) -> None:  # noqa: D102
        self._console.print(text, highlight=False, markup=False)

    def step(self, report: StepReport) -> None:  # noqa: D102
        now = time.monotonic()
        if now - self._last < 0.2 and report.step != report.total_steps:
            return
        self._last = now
        self._figures = describe(report, self._bits_per_nat, self._target)
        left = f"{clock(report.seconds_left)} left"
        self._bars.update(self._bar, completed=report.step, total=report.total_steps, left=left)

    def validated(self, step: int, metrics: dict[str, float | int], sample: str, *, best: bool) -> None:  # noqa: D102
        self._bits_per_nat, self._target = bits_per_character_per_nat(metrics), target_of(metrics)
        self._valid = f"valid {describe_metrics(metrics)} (step {step:,}{', the best so far' if best and step else ''})"
        self._sample = sample

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        parts: list[RenderableType] = [self._bars, Text(self._figures), Text(self._valid)]
        if self._sample:
            parts.append(Panel(Text(self._sample), title="what the network writes now", title_align="left"))
        return Group(*parts)


def progress_for(stream: IO[str] | None) -> Progress:
    """Choose the display: live if ``stream`` is a terminal, otherwise plain lines."""
    return LiveProgress(stream) if Messages(stream).isatty() else LineProgress(stream)


def describe(report: StepReport, bits_per_nat: float, target: str) -> str:
    """Describe a step in one line; ``target`` names what is predicted, such as a token.

    Example:
        >>> describe(StepReport(40, 200, 1.5, 20480.0, 75.0), 1 / math.log(2), "token")
        'step 40/200  train 1.500 nats/token, 2.164 bits/char  20,480 tokens/s  1:15 left'
    """
    bits = f", {report.nats * bits_per_nat:.3f} bits/char" if bits_per_nat else ""
    return (
        f"step {report.step:,}/{report.total_steps:,}  train {report.nats:.3f} nats/{target}{bits}  "
        f"{report.targets_per_second:,.0f} {target}s/s  {clock(report.seconds_left)} left"
    )


def describe_metrics(metrics: dict[str, float | int], digits: int = 3) -> str:
    """Describe validation metrics in one line: losses with their units, rates by name, with so many digits.

    If none of these is there, show the first three metrics that are not counts.

    Example:
        >>> describe_metrics({"nats_per_token": 1.5, "bits_per_character": 2.164, "perplexity": 4.48, "tokens": 9})
        '1.500 nats/token, 2.164 bits/char, perplexity 4.48'
        >>> describe_metrics({"nats_per_token": 1.5, "perplexity": 4.48, "perplexity_per_word": 2980.96})
        '1.500 nats/token, perplexity 4.48, 2,981 per word'
        >>> describe_metrics({"mean_absolute_error": 0.25, "examples": 9})
        'mean_absolute_error 0.25'
    """
    target = target_of(metrics)
    units = {f"nats_per_{target}": f"{{:.{digits}f}} nats/{target}"}
    units["bits_per_character"] = f"{{:.{digits}f}} bits/char"
    units |= {"perplexity": "perplexity {:.2f}", "accuracy": "accuracy {:.4f}", "macro_f1": "macro F1 {:.4f}"}
    units["perplexity_per_word"] = "{:,.4g} per word"
    units["span_f1"] = "span F1 {:.4f}"
    known = [units[name].format(value) for name, value in metrics.items() if name in units]
    others = (f"{name} {value:.4g}" for name, value in metrics.items() if isinstance(value, float))
    return ", ".join(known or islice(others, 3))


def target_of(metrics: dict[str, float | int]) -> str:
    """Return the name of what is predicted, taken from the name of the loss.

    Example:
        >>> target_of({"nats_per_token": 1.5}), target_of({"nats_per_target": 0.5})
        ('token', 'target')
    """
    names = (name.removeprefix("nats_per_") for name in metrics if name.startswith("nats_per_"))
    return next(names, "target")


def bits_per_character_per_nat(metrics: dict[str, float | int]) -> float:
    """Return the factor from nats per token to bits per character on this text, or 0 if it is unknown."""
    nats = metrics.get("nats_per_token", 0.0)
    return metrics.get("bits_per_character", 0.0) / nats if nats else 0.0


def clock(seconds: float) -> str:
    """Format seconds as minutes and seconds, or hours, minutes and seconds.

    Example:
        >>> clock(75), clock(3725)
        ('1:15', '1:02:05')
    """
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
