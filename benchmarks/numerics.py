"""Measure the cost of reproducibility: the training speed of `petals`, compared with the Hugging Face Trainer.

    python benchmarks/numerics.py [--runs 5] [--steps 12] [--json results.json]

Images/s, end to end: read, decode, augment, step. `prepare` decodes a photo once per training, so each epoch's fraction of that
time is added. The Trainer has the same network, batch, JPEG files and Kornia operators (with Kornia's own samplers), fp32 on all
cores, and a DataLoader in the process or with two workers. The cases run in turn, so that a slow minute of the machine affects
all of them. The table shows the median, the spread and the ratio to the better Trainer. A second table shows the step alone, on a
prepared batch, with a plain PyTorch loop as the base. The cost of ledger and ordered sum excludes the time that one worker waits
for another. Needs `make prepare`.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from bitbloom.core import canonical, checkout
from bitbloom.numerics import pins

TARGET = "petals"
WARM_UP = 3
PROMISE = {"ledger": ("checksum", "tensors_digest", "combined"), "reduction": ("tree_sum",), "reduction.TreeSum": ("add",)}
EXCHANGE = {"reduction": ("all_in_order",), "reduction.SharedTreeSum": ("__call__",)}
"""Functions of bitbloom.numerics that only reproducibility needs: on one worker, and between workers."""
DECODED = 200
"""Number of photos that measure the cost of decoding: `prepare` decodes a photo once, the Trainer in every epoch."""
END_TO_END = {
    "HF Trainer, fp32": ("trainer", {"LOADERS": "0"}),
    "HF Trainer, fp32, 2 loaders": ("trainer", {"LOADERS": "2"}),
    "portable, 1 worker": ("ours", {"WORKERS": "1", "PROFILE": "portable"}),
    "portable, one worker per core": ("ours", {"PROFILE": "portable"}),
    "fast, one worker per core": ("ours", {"PROFILE": "fast"}),
}
STEP_ALONE = {
    "PyTorch loop, fp32": ("plain", {}),
    "portable, one worker per core": ("ours", {"PROFILE": "portable", "READY": "1"}),
    "fast, one worker per core": ("ours", {"PROFILE": "fast", "READY": "1"}),
}


def trainer(steps: int) -> dict[str, float]:
    """Images/s of the Hugging Face Trainer."""
    import kornia.augmentation as K  # noqa: N812 -- Kornia's own convention
    import torch
    from PIL import Image
    from torch.nn.functional import cross_entropy
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from bitbloom import tasks
    from bitbloom.config.target import Target
    from bitbloom.data.dataset import Dataset
    from bitbloom.models.preprocess import Preprocess

    target = Target.load(TARGET)
    data, config = Dataset.open(target.processed), target.augment
    files = [(target.raw / sample.id, data.meta["classes"].index(sample.label)) for sample in data.samples.itertuples()]
    augment = K.AugmentationSequential(
        K.RandomResizedCrop((target.model.image_size,) * 2, scale=tuple(part**2 for part in config.crop_scale), ratio=(1, 1)),
        K.RandomHorizontalFlip(),
        K.ColorJiggle(config.brightness, config.contrast, config.saturation, p=config.colour),
        data_keys=["input"],
    )
    preprocess = Preprocess(target.model.image_size, target.model.mean, target.model.std)

    class WithLoss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = tasks.model(target.task).build(target.model, data.meta)

        def forward(self, pixels: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            logits = self.network(preprocess.normalise(augment(pixels)))
            return {"loss": cross_entropy(logits, labels, label_smoothing=target.train.label_smoothing), "logits": logits}

    def read(batch: list[tuple[Path, int]]) -> dict[str, torch.Tensor]:
        images = [np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB")) for path, _ in batch]
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        return {"pixels": pixels, "labels": torch.tensor([label for _, label in batch])}

    clock: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=steps + WARM_UP,
            per_device_train_batch_size=target.train.batch_size,
            learning_rate=target.train.learning_rate,
            weight_decay=target.train.weight_decay,
            dataloader_num_workers=int(os.environ["LOADERS"]),
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
            use_cpu=True,
        )
        Trainer(WithLoss(), arguments, data_collator=read, train_dataset=files, callbacks=[Clock()]).train()
    return {"images_a_second": steps * target.train.batch_size / (clock[-1] - clock[WARM_UP - 1])}


def plain(steps: int) -> dict[str, float]:
    """Images/s of forward, backward and AdamW in PyTorch, without pins, on one prepared batch."""
    import torch

    from bitbloom import tasks
    from bitbloom.config.sections.augment import Augment
    from bitbloom.config.target import Target
    from bitbloom.data.dataset import Dataset

    target = Target.load(TARGET)
    data, task = Dataset.open(target.processed), tasks.model(target.task)
    network = task.build(target.model, data.meta).train()
    arrays = data.take(data.split("train")[: target.train.batch_size])
    batch = task.batch(arrays, data.sample_seeds()[: target.train.batch_size], Augment(), target.model)
    optimiser = torch.optim.AdamW(network.parameters(), target.train.learning_rate, fused=True)
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            start = time.perf_counter()
        optimiser.zero_grad()
        task.loss(network, batch, target.train).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return {"images_a_second": steps * target.train.batch_size / (time.perf_counter() - start)}


def ours(steps: int) -> dict[str, float]:
    """Images/s of our loop, and the fraction of a step that the ledger and the ordered reduction take."""
    from bitbloom.config.sections.numerics import Numerics
    from bitbloom.config.target import Target
    from bitbloom.training import workers

    target = Target.load(TARGET)
    target.sections["numerics"] = Numerics(profile=os.environ["PROFILE"])
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        workers.launch(measure, target.numerics.micro_batches, target, steps, result)
        measured: dict[str, float] = canonical.read_json(result)
        return measured


def measure(worker: Any, target: Any, steps: int, result: Path) -> None:
    """A timed run on one worker. The first worker writes the result."""
    import torch.distributed as dist

    from bitbloom import numerics, tasks
    from bitbloom.data.dataset import Dataset
    from bitbloom.training import loop

    pins.pin_torch()
    spent: list[float] = []
    exchanged: list[float] = []
    inside: list[str] = []
    for parts, seconds_of in ((PROMISE, spent), (EXCHANGE, exchanged)):
        for place, names in parts.items():
            owner = attrgetter(place)(numerics)
            for name in names:
                setattr(owner, name, timed(getattr(owner, name), seconds_of, inside))
    sections = loop.Sections(target.model, target.augment, target.train, target.numerics)
    run = loop.Run(worker, tasks.model(target.task), Dataset.open(target.processed), sections)
    if "READY" in os.environ:
        ready = run.task.batch(*first_batch(run))
        setattr(run.task, "batch", lambda *_: ready)  # noqa: B010
    for step in range(WARM_UP):
        run.step(step)
    spent.clear(), exchanged.clear()
    start = time.perf_counter()
    for step in range(WARM_UP, WARM_UP + steps):
        run.step(step)
    seconds = time.perf_counter() - start
    everyones: list[Any] = [exchanged]
    if worker.world > 1:
        everyones = [None] * worker.world
        dist.all_gather_object(everyones, exchanged)
    if worker.first:
        # The cost of an exchange is the time of the last worker: the times of the others include waiting.
        promise = sum(spent) + sum(min(times) for times in zip(*everyones, strict=True))
        each = seconds / (steps * target.train.batch_size)
        if "READY" not in os.environ:
            each += decoding(target) / target.train.epochs / worker.world
        canonical.write_json(result, {"images_a_second": 1 / each, "promise": promise / seconds})


def decoding(target: Any) -> float:
    """Seconds per photo in which `prepare` reads, decodes and squares it."""
    from bitbloom.data import imaging

    files = sorted(target.raw.rglob("*.jpg"))[:DECODED]
    start = time.perf_counter()
    for file in files:
        imaging.square(file.read_bytes(), target.prepare.image_size)
    return (time.perf_counter() - start) / len(files)


def first_batch(run: Any) -> tuple[Any, ...]:
    """The arguments from which the task makes the first micro-batch."""
    positions, seeds = run.stream.batch(0, 0, run.micro_size)
    return run.dataset.take(positions), seeds, run.sections.augment, run.sections.model


def timed(function: Any, spent: list[float], inside: list[str]) -> Any:
    """The function, with the seconds of each call appended to `spent`, except for calls inside another timed one."""

    def wrapper(*arguments: Any, **named: Any) -> Any:
        if inside:
            return function(*arguments, **named)
        inside.append(function.__name__)
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            spent.append(time.perf_counter() - start)
            inside.pop()

    return wrapper


def run_case(name: str, case: tuple[str, dict[str, str]], steps: int) -> dict[str, float]:
    """One run of a case in a separate process."""
    kind, variables = case
    profile = variables.get("PROFILE")
    environment = {
        key: value for key, value in os.environ.items() if key not in pins.environment("portable") and key != "WORKERS"
    }
    environment |= variables | (pins.environment(profile) if profile else {})
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [sys.executable, __file__, "--case", kind, "--steps", str(steps), "--json", str(out)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name}:\n{done.stderr[-3000:]}")
        found: dict[str, float] = canonical.read_json(out)
        return found


def main() -> None:
    """Measure all cases in turn; as a child process, one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", choices=("trainer", "plain", "ours"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        canonical.write_json(options.json, {"trainer": trainer, "plain": plain, "ours": ours}[options.case](options.steps))
        return
    found = {"end to end": side_by_side(END_TO_END, options), "the step alone": side_by_side(STEP_ALONE, options)}
    for title, runs in found.items():
        report(title, runs)
    if options.json:
        canonical.write_json(options.json, found)


def side_by_side(cases: dict[str, tuple[str, dict[str, str]]], options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """All runs of some cases, one of each in turn."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    for _ in range(options.runs):
        for name, case in cases.items():
            found[name].append(run_case(name, case, options.steps))
    return found


def report(title: str, found: dict[str, list[dict[str, float]]]) -> None:
    """Print a table; the base is the best case without our loop."""
    from rich.console import Console
    from rich.table import Table

    speeds = {name: [run["images_a_second"] for run in runs] for name, runs in found.items()}
    base = max(statistics.median(values) for name, values in speeds.items() if "promise" not in found[name][0])
    table = Table(
        "case", "images/s", "spread", "ratio", "ledger and reduction", title=f"training {TARGET}, {title}, {os.cpu_count()} cores"
    )
    for name, values in speeds.items():
        middle, promise = statistics.median(values), [run["promise"] for run in found[name] if "promise" in run]
        part = f"{100 * statistics.median(promise):.1f} %" if promise else ""
        table.add_row(name, f"{middle:.0f}", f"{min(values):.0f} to {max(values):.0f}", f"{middle / base:.2f}", part)
    Console(width=None if sys.stdout.isatty() else 110).print(table)


if __name__ == "__main__":
    checkout.require()
    main()
