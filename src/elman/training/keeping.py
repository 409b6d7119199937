"""Keeping a run in a checkpoint, so that it can be resumed as if it had never been interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from elman.errors import ModelError
from elman.training.checkpoint import save_checkpoint
from elman.training.clock import now
from elman.training.state import Objective, RunState

CHECKPOINT_SECONDS = 30.0  # the most work that a power cut can destroy


class Keeper:
    """Saves a run to its checkpoint and restores it: the state, the network and the optimizer.

    Args:
        path: the file; None to save nothing.
        identity: more entries of the checkpoint, about the model.
        network: the network to save and restore.
        optimizer: its optimizer.
    """

    def __init__(self, path: Path | None, identity: dict[str, Any], network: nn.Module, optimizer: Any) -> None:
        self.path = path
        self._identity = identity
        self._network = network
        self._optimizer = optimizer
        self._saved_at = now()

    def save(self, state: RunState) -> None:
        """Replace the checkpoint.

        Raises:
            StorageError: it cannot be written; the previous one is still there.
        """
        if self.path is not None:
            save_checkpoint(
                self.path,
                {
                    "state": state.to_saved(),
                    "network": self._network.state_dict(),
                    "optimizer": self._optimizer.state_dict(),
                    **self._identity,
                },
            )
        self._saved_at = now()

    @property
    def is_due(self) -> bool:
        """Whether the last save is more than ``CHECKPOINT_SECONDS`` ago."""
        return now() - self._saved_at > CHECKPOINT_SECONDS

    def restore(self, saved: dict[str, Any], objective: Objective) -> RunState:
        """Restore network and optimizer from a checkpoint, and return the state of the run.

        Args:
            saved: the checkpoint.
            objective: how later validations will be compared with the best one so far.

        Raises:
            ModelError: a part of the checkpoint does not fit.
        """
        try:
            state = RunState.from_saved(saved["state"])
            if state.best is not None:
                objective(state.best["metrics"])  # fails if a metric is missing
            self._network.load_state_dict(saved["network"])
            groups = self._optimizer.state_dict()["param_groups"]  # from the settings, not from the file
            self._optimizer.load_state_dict({"state": saved["optimizer"]["state"], "param_groups": groups})
            for parameter, moments in self._optimizer.state.items():
                if {name: part.shape for name, part in moments.items()} != {
                    "step": torch.Size(),
                    "exp_avg": parameter.shape,
                    "exp_avg_sq": parameter.shape,
                }:
                    shape = tuple(parameter.shape)
                    raise ValueError(f"the optimizer's state does not fit a weight of shape {shape}")
        except Exception as error:  # torch raises a different exception for each part
            raise ModelError(
                f"the checkpoint does not fit the training ({type(error).__name__}: {str(error).splitlines()[0]}); "
                "start afresh with `overwrite`"
            ) from error
        return state
