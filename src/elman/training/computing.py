"""What a run takes of the process and of the machine: a device, threads, and random numbers from its own seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

from elman.draws import drawing
from elman.errors import UsageError
from elman.training.schedule import TrainingSettings


def check_device(device: str) -> None:
    """Raise UsageError where there is no such device; a model trained on one is loaded anywhere."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device is cuda, but torch finds no GPU here; leave `device` out or set it to cpu")


class _Threads:
    """The thread count of the process, which runs in several of its threads set for themselves and then put back.

    A new thread of Python begins with the count that was set last, in whatever thread; so what was found is what the
    first of the runs found that go on at once.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._runs = 0
        self._found = 0

    @contextmanager
    def using(self, number: int | None) -> Iterator[None]:
        """Compute with so many threads, or with as many as the process does."""
        with self._lock:
            if not self._runs:
                self._found = torch.get_num_threads()
            self._runs += 1
            torch.set_num_threads(number or self._found)
        try:
            yield
        finally:
            with self._lock:
                self._runs -= 1
                torch.set_num_threads(self._found)


_threads = _Threads()


@contextmanager
def computing(settings: TrainingSettings) -> Iterator[None]:
    """Compute as the settings say; leave the caller's threads and random numbers as they were."""
    with _threads.using(settings.threads), drawing(settings.seed):
        yield


_building = Lock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch's global generator, from which weights begin, start from a seed; it is one thread's at a time."""
    with _building, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
