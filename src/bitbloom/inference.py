"""Outputs of a network for many samples, in batches of a fixed size so that their bits never depend on who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from bitbloom import canonical, config, tasks
from bitbloom.config import Augment, Model
from bitbloom.dataset import Dataset
from bitbloom.errors import BitBloomError
from bitbloom.target import Target
from bitbloom.tasks import Task

if TYPE_CHECKING:
    from bitbloom.training.workers import Worker

BATCH = 32


@torch.no_grad()
def outputs(
    task: Task, network: nn.Module, dataset: Dataset, positions: NDArray[np.int64], model: Model, worker: Worker | None = None
) -> Tensor:
    """Outputs float32 [n, …] at `positions`, on the CPU; several workers share the batches and all get the whole."""
    network.eval()
    device = next(network.parameters()).device
    batches = [positions[start : start + BATCH] for start in range(0, len(positions), BATCH)]
    rank, world = (worker.rank, worker.world) if worker else (0, 1)
    mine = {}
    for number in range(rank, len(batches), world):
        # The last batch is filled up with its own samples: matrices with few rows have other bits on other CPUs.
        filled = np.resize(batches[number], BATCH)
        batch = task.batch(dataset.take(filled), None, Augment(), model)
        result = task.forward(network, {name: tensor.to(device) for name, tensor in batch.items()})
        mine[number] = result.float().cpu()[: len(batches[number])]
    parts = _everyones(mine, world)
    return torch.cat([parts[number] for number in range(len(batches))])


def _everyones(mine: dict[int, Tensor], world: int) -> dict[int, Tensor]:
    """All workers' numbered tensors."""
    if world == 1:
        return mine
    gathered: list[Any] = [None] * world
    torch.distributed.all_gather_object(gathered, mine)
    return {number: tensor for part in gathered for number, tensor in part.items()}


def load_network(target: Target) -> tuple[Task, nn.Module, dict[str, Any]]:
    """The task, the trained network in evaluation mode, and models/<target>/config.json."""
    task = tasks.load(target.task)
    trained = canonical.read_json(target.models / "config.json")
    network = task.build(config.model(trained["model"]), trained["meta"], pretrained=False)
    try:
        network.load_state_dict(load_file(target.models / "model.safetensors"))
    except RuntimeError as error:
        raise BitBloomError(
            f"{target.models}/model.safetensors is not of this code: run `make train TARGET={target.name}`"
        ) from error
    return task, network.eval(), trained
