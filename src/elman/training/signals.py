"""Signals that ask a run to stop: they wait until the step is done."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class StopRequest:
    """Remembers that a signal came; the loop looks between two steps."""

    signal_number = 0


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Let SIGINT, SIGTERM and SIGHUP wait until the step is done; a second one ends the process at once.

    SIGHUP comes when the terminal is closed; where it is ignored, as under ``nohup``, it stays so.
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def remember(number: int, frame: Any) -> None:
        stop.signal_number = number
        restore()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    former = {number: signal.signal(number, remember) for number in numbers}

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    try:
        yield stop
    finally:
        restore()
