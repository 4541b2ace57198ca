"""The training loop.

A step is a fixed number of micro-batches. Each is computed alone, by one thread, with its own seed; their gradients are
added as a balanced binary tree. The result has the same bytes for any number of workers. A checkpoint holds all state that
passes from one step to the next, so a resumed run gives the same bytes as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from bitbloom.core import progress
from bitbloom.core.errors import BitBloomError
from bitbloom.numerics import ledger, machine, reduction, seeds, subset
from bitbloom.training import activations, lora
from bitbloom.training.inference import BATCH, outputs
from bitbloom.training.optimiser import Optimiser
from bitbloom.training.sampler import Stream

if TYPE_CHECKING:
    from bitbloom.config.models import Model
    from bitbloom.config.sections.augment import Augment
    from bitbloom.config.sections.numerics import Numerics
    from bitbloom.config.sections.train import Train
    from bitbloom.contracts import TaskModel
    from bitbloom.data.dataset import Dataset
    from bitbloom.training.checkpoint import Checkpoints
    from bitbloom.training.workers import Worker

PART = 98
"""Purpose of the seed that decides whether a sample belongs to `train.part`."""
BF16 = ("avx512_bf16", "amx_bf16")
"""Instruction sets that multiply bf16. Without them, bf16 in PyTorch has a tenth of the speed of float32."""


@dataclass(frozen=True)
class Sections:
    """The config sections that training reads."""

    model: Model
    augment: Augment
    train: Train
    numerics: Numerics


@dataclass
class History:
    """State besides tensors: one row per epoch, one ledger line per step, and the best epoch so far."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)
    best_score: float = -1.0
    best_epoch: int = 0
    losses: list[float] = field(default_factory=list)


class Run:
    """The part of a training run that one worker computes."""

    def __init__(self, worker: Worker, task: TaskModel, dataset: Dataset, sections: Sections) -> None:
        self.worker, self.task, self.dataset, self.sections = worker, task, dataset, sections
        train, numerics = sections.train, sections.numerics
        train.check(numerics.profile)
        accelerator = "cuda" if numerics.profile == "cuda" else "cpu"
        self.fabric = Fabric(accelerator=accelerator, devices=1, precision=precision(numerics.profile, train.precision))
        self.micro_batches = numerics.micro_batches
        self.own = reduction.blocks(self.micro_batches, worker.world)
        self.micro_size = micro_batch_size(train.batch_size, self.micro_batches)
        positions = training_subset(dataset, train.part)
        self.stream = Stream(positions, dataset.sample_seeds()[positions], train.seed, train.batch_size)
        self.steps = min(self.stream.steps(train.epochs), train.max_steps or 1 << 62)
        torch.manual_seed(train.seed)
        self.network: nn.Module = self.fabric.to_device(self.prepared(task.build(sections.model, dataset.meta)))
        self.optimiser = Optimiser(self.network, task.parameter_groups(self.network, train), train)
        self.all_tree_sum = reduction.all_tree_sum(worker.rank, worker.world, worker.same_machine, self.optimiser.weights.numel())
        if isinstance(self.all_tree_sum, reduction.SharedTreeSum) and self.fabric.device.type == "cpu":
            self.optimiser.release(self.all_tree_sum.memory)  # for the first gradient, which becomes the sum
        self.history = History()
        self.best: Tensor | None = None

    def prepared(self, network: nn.Module) -> nn.Module:
        """Apply the options of training that change a network's parameters or its backward pass."""
        train = self.sections.train
        if train.lora.rank:
            lora.adapt(network, train.lora)
        if train.checkpointing:
            activations.recompute(network)
        return network

    def fit(self, checkpoints: Checkpoints, report: Report) -> None:
        """Train to the end, starting from the newest checkpoint if there is one."""
        step = self.resume(checkpoints)
        if step == 0:
            self.check_subset()
        report.start(step, self.steps)
        while step < self.steps and not self.out_of_patience():
            self.step(step)
            step += 1
            report.step()
            done, before = self.stream.epochs_done(step), self.stream.epochs_done(step - 1)
            if done > before or step == self.steps:
                self.validate(step)
                report.epoch(self.history.epochs[-1])
                if done % self.sections.train.checkpoint_every == 0 and step < self.steps:
                    self.save(checkpoints, step)
        self.record_weights()

    def check_subset(self) -> None:
        """Check a micro-batch and a validation batch against the portable subset, if the profile requires it.

        Raises:
            Unportable: an op or a shape is outside the subset; the message has the op, its shapes and the remedy.
        """
        number = self.worker.rank * self.own
        self.micro_batch(0, number)  # fills caches, whose ops are not part of a step
        with subset.enforced(self.sections.numerics.profile):
            self.micro_batch(0, number)
            outputs(self.task, self.network, self.dataset, self.dataset.split("val")[:BATCH], self.sections.model)
        self.optimiser.release(self.optimiser.take_gradient())

    def step(self, step: int) -> None:
        """Run one optimiser step: this worker's micro-batches, the sum over all workers, the update, the ledger line."""
        tree, records = reduction.TreeSum(self.optimiser.release), []
        for number in range(self.worker.rank * self.own, (self.worker.rank + 1) * self.own):
            loss, digest = self.micro_batch(step, number)
            tree.add(self.optimiser.take_gradient())
            records.append(torch.cat([loss.reshape(1).view(torch.uint8), digest]))
        gradient = self.all_tree_sum(tree.total()).div_(self.micro_batches)
        all_records = reduction.all_in_order(torch.stack(records), self.worker.world)
        losses, digests = all_records[:, :4].contiguous().view(torch.float32), all_records[:, 4:].contiguous()
        checksums = [self.checksum(gradient)]
        self.optimiser.step(gradient, step, self.steps)
        self.optimiser.release(gradient)
        mean = float(reduction.tree_sum(losses)) / self.micro_batches
        if not np.isfinite(mean):
            raise FloatingPointError(f"the loss of step {step} is {mean}: lower train.learning_rate")
        self.history.losses.append(mean)
        checksums.append(self.checksum(self.optimiser.weights))
        partial_sums = reduction.all_in_order(torch.tensor([checksums]), self.worker.world)
        if self.worker.first:
            of_gradient, of_weights = (ledger.total(column) for column in partial_sums.T.tolist())
            self.history.ledger.append(ledger.entry(step, ledger.combined(digests), mean, of_gradient, of_weights))

    def checksum(self, flat: Tensor) -> int:
        """Return this worker's partial checksum of a tensor that every worker holds."""
        return ledger.checksum(flat, self.worker.rank, self.worker.world)

    def micro_batch(self, step: int, number: int) -> tuple[Tensor, Tensor]:
        """Run a micro-batch forward and backward; return its loss (a CPU scalar) and the digest of its inputs (uint8 [32])."""
        train = self.sections.train
        positions, sample_seeds = self.stream.batch(step, number * self.micro_size, self.micro_size)
        batch = self.task.batch(self.dataset.take(positions), sample_seeds, self.sections.augment, self.sections.model)
        digest = torch.frombuffer(bytearray(ledger.tensors_digest(batch.values())), dtype=torch.uint8)
        torch.manual_seed(int(seeds.derive(train.seed, step, number)) >> 1)
        if not self.network.training:
            self.network.train()
        with self.fabric.autocast():
            loss = self.task.loss(self.network, {name: self.fabric.to_device(tensor) for name, tensor in batch.items()}, train)
        self.fabric.backward(loss)
        return loss.detach().float().cpu(), digest

    def validate(self, step: int) -> None:
        """Evaluate the selected weights on the validation split, and add a row to the history."""
        positions = self.dataset.split("val")
        with self.selected_weights():
            found = outputs(self.task, self.network, self.dataset, positions, self.sections.model, self.worker)
        scores = self.task.score(found, self.dataset.take(positions))
        row = {
            "epoch": len(self.history.epochs) + 1,
            "step": step,
            "learning_rate": self.optimiser.adamw.param_groups[0]["lr"],
            "train_loss": sum(self.history.losses) / len(self.history.losses),
        }
        row |= {f"val_{name}": value for name, value in scores.items() if name != "score"}
        self.history.epochs.append(row)
        self.history.losses = []
        if scores["score"] > self.history.best_score:
            self.history.best_score, self.history.best_epoch = scores["score"], len(self.history.epochs)
            if self.sections.train.patience:
                self.best = self.selected().clone()

    def out_of_patience(self) -> bool:
        """Return whether early stopping is enabled and its patience is exhausted."""
        patience = self.sections.train.patience
        return bool(patience) and len(self.history.epochs) - self.history.best_epoch >= patience

    def selected(self) -> Tensor:
        """Return the weights to evaluate and keep, float32 [p]: the moving average if there is one."""
        return self.optimiser.weights if self.optimiser.average is None else self.optimiser.average

    @contextmanager
    def selected_weights(self) -> Iterator[None]:
        """Load the selected weights into the network for the duration of the block."""
        if self.optimiser.average is None:
            yield
            return
        training = self.optimiser.weights.clone()
        self.optimiser.weights.copy_(self.optimiser.average)
        yield
        self.optimiser.weights.copy_(training)

    def save(self, checkpoints: Checkpoints, step: int) -> None:
        """Write a checkpoint, in the first worker only."""
        self.record_weights()
        if not self.worker.first:
            return
        tensors = {f"optimiser.{name}": tensor for name, tensor in self.optimiser.state().items()}
        if self.best is not None:
            tensors["best"] = self.best
        checkpoints.save(step, tensors, asdict(self.history))

    def record_weights(self) -> None:
        """Add the SHA-256 of the weights to the last line of the ledger."""
        if self.worker.first:
            self.history.ledger[-1]["weights_sha256"] = ledger.digest(self.optimiser.weights)

    def resume(self, checkpoints: Checkpoints) -> int:
        """Restore the first worker's newest checkpoint on all workers; return the step to continue with."""
        found = checkpoints.load() if self.worker.first else None
        if self.worker.world > 1:
            broadcast: list[Any] = [found]
            dist.broadcast_object_list(broadcast, src=0)
            found = broadcast[0]
        if found is None:
            return 0
        tensors, state = found
        self.best = tensors.pop("best", None)
        self.optimiser.restore({name.removeprefix("optimiser."): tensor for name, tensor in tensors.items()})
        step = int(state.pop("step"))
        self.history = History(**state)
        return step

    def finish(self) -> dict[str, Tensor]:
        """Return the network's tensors, after training: the best epoch's weights with early stopping, else the last."""
        self.optimiser.weights.copy_(self.best if self.best is not None else self.selected())
        lora.merge(self.network)
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}

    def summary(self) -> dict[str, Any]:
        """Return the content of training.json: the curves, and the number of samples, steps and parameters."""
        kind = machine.kind(self.sections.numerics.profile)
        found: dict[str, Any] = {} if kind is None else {"machine": kind}
        return found | {
            "epochs": self.history.epochs,
            "best_epoch": self.history.best_epoch,
            "kept": "last" if self.best is None else "best",
            "steps": len(self.history.ledger),
            "parameters": self.optimiser.weights.numel(),
            "train_samples": len(self.stream.positions),
            "val_samples": len(self.dataset.split("val")),
        }


class Report:
    """Progress output of a run: a bar on a terminal, and a line per epoch."""

    def __init__(self, shown: bool) -> None:
        self.shown = shown
        self.stack = ExitStack()
        self.advance: Callable[[int], None] = lambda _: None

    def start(self, step: int, steps: int) -> None:
        """Show that training starts or resumes at `step` of `steps`."""
        if not self.shown:
            return
        if step:
            print(f"resuming at step {step} of {steps}")
        self.advance = self.stack.enter_context(progress.advancing("train", steps, step))

    def step(self) -> None:
        """Count a finished step."""
        self.advance(1)

    def epoch(self, row: Mapping[str, float]) -> None:
        """Print the scores of a validated epoch."""
        if self.shown:
            shown = (f"{name} {value:.4g}" for name, value in row.items() if name not in ("epoch", "step"))
            print(f"epoch {row['epoch']}: {', '.join(shown)}", flush=True)

    def close(self) -> None:
        """Remove the bar."""
        self.stack.close()


def precision(profile: str, wanted: str = "auto") -> Literal["32-true", "bf16-mixed"]:
    """Return the precision of a profile: by `auto`, bf16 where the machine supports it, except in `portable`."""
    if wanted != "auto":
        return "bf16-mixed" if wanted == "bf16" else "32-true"
    if profile == "portable" or (profile == "fast" and not set(BF16) & set(machine.instruction_sets())):
        return "32-true"
    return "bf16-mixed"


def training_subset(dataset: Dataset, percent: int) -> NDArray[np.int64]:
    """Return the positions of `percent` of the training split; larger subsets contain smaller ones.

    Raises:
        BitBloomError: the subset is empty.
    """
    positions = dataset.split("train")
    chosen = positions[seeds.derive(dataset.sample_seeds()[positions], PART) % np.uint64(100) < percent]
    if not len(chosen):
        raise BitBloomError(f"train.part={percent} leaves none of the {len(positions)} training samples")
    return chosen


def micro_batch_size(batch_size: int, micro_batches: int) -> int:
    """Return the samples per micro-batch. Raises BitBloomError if the batch does not divide evenly."""
    if batch_size % micro_batches:
        raise BitBloomError(f"train.batch_size {batch_size} is not a multiple of numerics.micro_batches {micro_batches}")
    return batch_size // micro_batches
