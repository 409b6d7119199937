"""The resources of a run: its device, its threads, and random numbers from its own seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

from elman.draws import drawing
from elman.errors import UsageError
from elman.training.schedule import TrainingSettings


def check_device(device: str) -> None:
    """Raise UsageError if the device is missing; a model trained on a GPU loads anywhere."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device is cuda, but torch finds no GPU here; leave `device` out or set it to cpu")


class _Threads:
    """The number of torch threads, which concurrent runs each set for their own Python thread and restore.

    A new Python thread starts with the number that any thread set last. So the number to restore is the one that the
    first of the concurrent runs found.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._runs = 0
        self._before = 0

    @contextmanager
    def using(self, number: int | None) -> Iterator[None]:
        """Compute with ``number`` threads; None for as many as before."""
        with self._lock:
            if not self._runs:
                self._before = torch.get_num_threads()
            self._runs += 1
            torch.set_num_threads(number or self._before)
        try:
            yield
        finally:
            with self._lock:
                self._runs -= 1
                torch.set_num_threads(self._before)


_threads = _Threads()


@contextmanager
def computing(settings: TrainingSettings) -> Iterator[None]:
    """Compute with the threads and the seed of the settings, then restore the caller's."""
    with _threads.using(settings.threads), drawing(settings.seed):
        yield


_building = Lock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generator, from which weights are initialized, for one thread at a time; then restore it."""
    with _building, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
