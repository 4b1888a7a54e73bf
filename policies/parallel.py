"""One process or several: what a training step needs to know about its siblings."""

from __future__ import annotations

import os
from types import TracebackType

import torch
from torch import distributed, nn

from demoloop.datasets import Batch
from demoloop.policies.errors import PolicyError


class Parallel:
    """The process group torchrun made, or this process alone."""

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))

    def __enter__(self) -> Parallel:
        if self.size > 1:
            distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.size > 1:
            distributed.destroy_process_group()

    @property
    def is_first(self) -> bool:
        """The one that writes files and shows progress."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Returns a module whose gradients are averaged over all processes."""
        return nn.parallel.DistributedDataParallel(module) if self.size > 1 else module

    def agree(self, value: float) -> float:
        """Returns the first process's value in every process, so that all stop together."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(shared, 0)
        return float(shared)

    def slice(self, batch: Batch) -> Batch:
        """Returns this process's equal part of a batch that every process has drawn alike."""
        if self.size == 1:
            return batch
        if len(batch.index) % self.size:
            raise PolicyError(
                f"--batch-size {len(batch.index)} cannot be shared by {self.size} processes; "
                f"choose a multiple of {self.size}"
            )
        # Every n-th, because a batch is sorted by frame and halves would differ.
        mine = slice(self.rank, None, self.size)
        return Batch(
            index=batch.index[mine],
            images={name: image[mine] for name, image in batch.images.items()},
            proprioception=batch.proprioception[mine],
            actions=batch.actions[mine],
            is_pad=batch.is_pad[mine],
            goal=None if batch.goal is None else batch.goal[mine],
        )
