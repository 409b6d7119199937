"""What is kept of a run, so that it can go on after an interruption as if there had been none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from elman.errors import ModelError
from elman.training.checkpoint import save_checkpoint
from elman.training.clock import now
from elman.training.state import Objective, RunState

CHECKPOINT_SECONDS = 30.0  # no more than so much work is lost to a power cut


class Keeper:
    """Keeps a run in its checkpoint: the state, the network and the optimizer.

    Args:
        path: the file; nothing is kept where not given.
        identity: what the checkpoint is to say about the model besides.
        network: what is trained.
        optimizer: what trains it.
    """

    def __init__(self, path: Path | None, identity: dict[str, Any], network: nn.Module, optimizer: Any) -> None:
        self.path = path
        self._identity = identity
        self._network = network
        self._optimizer = optimizer
        self._saved_at = now()

    def save(self, state: RunState) -> None:
        """Write the checkpoint, in place of the last one.

        Raises:
            StorageError: it cannot be written; the last one is still there.
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
        """Whether so much time has gone by that the run is to be kept again."""
        return now() - self._saved_at > CHECKPOINT_SECONDS

    def restore(self, saved: dict[str, Any], objective: Objective) -> RunState:
        """Take network and optimizer back to where a checkpoint was written; return the state there.

        Args:
            saved: the checkpoint.
            objective: what later validations are compared by with the best one so far.

        Raises:
            ModelError: a part of the checkpoint does not fit.
        """
        try:
            state = RunState.from_saved(saved["state"])
            if state.best is not None:
                objective(state.best["metrics"])  # a figure that it needs may be missing
            self._network.load_state_dict(saved["network"])
            groups = self._optimizer.state_dict()["param_groups"]  # what the settings say, whatever the file does
            self._optimizer.load_state_dict({"state": saved["optimizer"]["state"], "param_groups": groups})
            for parameter, moments in self._optimizer.state.items():
                if {name: part.shape for name, part in moments.items()} != {
                    "step": torch.Size(),
                    "exp_avg": parameter.shape,
                    "exp_avg_sq": parameter.shape,
                }:
                    shape = tuple(parameter.shape)
                    raise ValueError(f"the optimizer's state of a weight of shape {shape} is another's")
        except Exception as error:  # torch checks each part in its own way
            raise ModelError(
                f"the checkpoint does not fit the training ({type(error).__name__}: {str(error).splitlines()[0]}); "
                "start afresh with `overwrite`"
            ) from error
        return state
