"""What a run takes of the process and of the machine: a device, threads, and random numbers from its own seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from elman.errors import UsageError
from elman.training.schedule import TrainingSettings


def check_device(device: str) -> None:
    """Raise UsageError where there is no such device; a model trained on one is loaded anywhere."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device is cuda, but torch finds no GPU here; leave `device` out or set it to cpu")


@contextmanager
def computing(settings: TrainingSettings) -> Iterator[None]:
    """Compute as the settings say; leave the caller's threads and random numbers as they were."""
    threads_before = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        try:
            if settings.threads is not None:
                torch.set_num_threads(settings.threads)
            yield
        finally:
            torch.set_num_threads(threads_before)
