"""The progress displays."""

import io
import math

from elman.training.progress import LineProgress, LiveProgress, StepReport, progress_for

METRICS = {"nats_per_token": 2.0, "bits_per_character": 2.0 / math.log(2), "perplexity": math.e**2, "tokens": 10}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def show(progress):
    with progress:
        progress.validated(0, METRICS, "zq [x] v", best=True)  # brackets are rich's markup: they must come out as text
        progress.note("1,200 steps [fit]")
        progress.step(StepReport(step=1, total_steps=1200, nats=3.5, targets_per_second=1000.0, seconds_left=90.0))
        progress.step(StepReport(step=1200, total_steps=1200, nats=1.5, targets_per_second=20480.0, seconds_left=0.0))
        progress.validated(1200, METRICS, "to be", best=True)


def test_a_terminal_gets_the_live_display_with_bar_figures_and_sample(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    progress = progress_for(terminal)
    assert isinstance(progress, LiveProgress)
    show(progress)
    shown = terminal.getvalue()
    for part in ("1200/1200", "1.500 nats/token, 2.164 bits/char", "20,480 tokens/s", "what the network writes now"):
        assert part in shown
    assert "1,200 steps [fit]" in shown
    assert "to be" in shown


def test_a_pipe_gets_plain_lines():
    pipe = io.StringIO()
    progress = progress_for(pipe)
    assert isinstance(progress, LineProgress)
    progress.every_seconds = 0.0
    show(progress)
    lines = pipe.getvalue().splitlines()
    assert lines[0] == "step 0: valid 2.000 nats/token, 2.885 bits/char, perplexity 7.39"
    assert lines[1] == "    | zq [x] v"
    assert "step 1/1,200  train 3.500 nats/token, 5.049 bits/char  1,000 tokens/s  1:30 left" in lines
    assert "\x1b" not in pipe.getvalue()


class Broken(Terminal):
    def write(self, text):
        raise OSError(28, "No space left on device")

    def flush(self):
        self.write("")


def test_a_display_that_cannot_be_written_does_not_stop_a_run(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    closed = Terminal()
    closed.close()
    for stream in (Broken(), closed, None):
        for display in (progress_for, LineProgress, LiveProgress):
            show(display(stream))


def test_characters_that_the_display_lacks_are_escaped():
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    LineProgress(pipe).note("caf\xe9 \udcff")
    assert pipe.buffer.getvalue() == b"caf\\xe9 \\udcff\n"
