"""Signals that stop a run after the current step."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class StopRequest:
    """Remembers the signal that arrived; the loop checks it between steps."""

    signal_number = 0


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Defer SIGINT, SIGTERM and SIGHUP until the step is done; a second signal ends the process at once.

    SIGHUP arrives when the terminal is closed; if it is ignored, as under ``nohup``, it stays ignored.
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
    previous = {number: signal.signal(number, remember) for number in numbers}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    try:
        yield stop
    finally:
        restore()
