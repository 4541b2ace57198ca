"""Work that has to give the same bits on every CPU, as a program for emulated CPUs.

python portable_work.py folder '{"petals": ["train.batch_size=16"]}' petals-tiny ingest prepare train

It writes a record of a training step for each target, folder/petals.jsonl, with its shipped config, overrides and generated
samples; folder/ops.jsonl with all ops of the portable subset at the limits of their shapes; and the outputs of stages of a
target, run in the folder. One process does all work, because loading the libraries takes a minute under emulation.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
from pathlib import Path

import pandas as pd
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn import functional as F

from bitbloom import tasks
from bitbloom.config.target import Target
from bitbloom.core import canonical
from bitbloom.data.dataset import Dataset
from bitbloom.data.sources import chatter, garden
from bitbloom.data.sources.garden import sentences
from bitbloom.data.sources.garden.randomness import Dice
from bitbloom.models.linear import PortableLinear
from bitbloom.models.weights import resize_positions
from bitbloom.numerics import pins, subset, trace
from bitbloom.pipeline import composition
from bitbloom.training import inference, loop
from bitbloom.training.workers import Worker

DRAWN = 24
Sample = tuple[bytes, str, dict[str, object]]
"""A sample's bytes, label and attributes."""


def drawn(target: Target) -> Dataset:
    """Draw and pack samples of the embedded source of the target's task."""
    made = {"image": photos, "text": messages, "caption": captioned}[target.model.kind]()
    kind = tasks.samples(target.task)
    rows = pd.DataFrame([kind.describe(data, attributes) for data, _, attributes in made])
    rows = rows.assign(id=[f"{number:02}" for number in range(DRAWN)], label=[label for _, label, _ in made])
    raw = [data for data, _, _ in made]
    rows["key"] = [hashlib.sha256(data).hexdigest() for data in raw]
    arrays, meta = kind.pack(rows, raw, target.prepare)
    splits = ["train", "train", "train", "val"] * (DRAWN // 4)
    return Dataset(arrays, rows.assign(attributes="{}", split=splits, excluded=False, reason=""), meta)


def photos() -> list[Sample]:
    """Draw photos of the garden."""
    return [garden.draw(garden.Config(images=DRAWN, seed=7), number) for number in range(DRAWN)]


def captioned() -> list[Sample]:
    """Draw photos of the garden with captions."""
    made = ((data, label, seen, Dice(7, number)) for number, (data, label, seen) in enumerate(photos()))
    return [(data, label, {**seen, "captions": sentences.write(seen, dice)}) for data, label, seen, dice in made]


def messages() -> list[Sample]:
    """Generate messages."""
    made = [chatter.write(chatter.Config(seed=7), number) for number in range(DRAWN)]
    return [(canonical.json_line(message.content).encode(), message.label, {}) for message in made]


def steps(name: str, count: int, overrides: list[str]) -> tuple[list[trace.Line], list[dict[str, object]]]:
    """Return the ops of a shipped config's first steps and of a validation, and the lines of the ledger."""
    tree = composition.compose(name, overrides)
    target = Target(
        name, {str(key): OmegaConf.to_object(tree[key]) if OmegaConf.is_config(tree[key]) else tree[key] for key in tree}
    )
    data = drawn(target)
    sections = loop.Sections(target.model, target.augment, target.train, target.numerics)
    run = loop.Run(Worker(), tasks.model(target.task), data, sections)
    with trace.Recorder() as recorder:
        for step in range(count):
            run.step(step)
        inference.outputs(run.task, run.network, data, data.split("val"), target.model)
    run.record_weights()
    return recorder.lines, run.history.ledger


def values(*shape: int) -> Tensor:
    """Draw numbers between -4 and 4 from integers, with a gradient."""
    return (torch.randint(-(1 << 20), 1 << 20, shape).float() / (1 << 18)).requires_grad_()


def both_ways(output: Tensor) -> None:
    """Run the backward pass from an output."""
    output.backward(values(*output.shape).detach())


def drawn_layer(inputs: int, outputs: int) -> torch.nn.Linear:
    """Return a linear layer with drawn values."""
    layer = torch.nn.Linear(inputs, outputs)
    layer.load_state_dict({"weight": values(outputs, inputs), "bias": values(outputs)})
    return layer


def every_op() -> list[trace.Line]:
    """Run the proven ops forward and backward, in the smallest and in odd shapes, and resize positions; return their record."""
    torch.manual_seed(0)
    with trace.Recorder() as recorder, subset.Guard():
        for rows, inner, columns in ((4, 12, 12), (4, 768, 16), (5, 31, 13), (65, 64, 65), (260, 384, 1536), (16, 192, 16)):
            both_ways(F.linear(values(rows, inner), values(max(columns, 12), inner), values(columns)))
        for rows, inner, columns in ((12, 12, 12), (37, 64, 37), (65, 64, 65), (17, 31, 13)):
            both_ways(values(3, rows, inner) @ values(3, inner, columns))
            both_ways(torch.baddbmm(values(3, rows, columns), values(3, rows, inner), values(3, inner, columns)))
        for inner in filter(subset.portable_terms, (*range(1, 400), *range(400, 1600, 97))):
            values(16, inner).mm(values(inner, 16))
        for inputs, outputs in ((24, 3), (257, 200), (64, 383)):
            layer = PortableLinear.of(drawn_layer(inputs, outputs))
            both_ways(layer(values(12, inputs)))
        for batch, channels, side in ((4, 48, 12), (1, 16, 12), (12, 384, 18)):
            both_ways(F.conv2d(values(batch, channels, side, side), values(24, channels, 1, 1), values(24)))
        for channels, width, kernel, stride in ((3, 32, 3, 2), (16, 24, 3, 1), (24, 24, 1, 1), (3, 384, 14, 14)):
            images, kernels = values(4, channels, 28, 28), values(width, channels, kernel, kernel)
            both_ways(F.conv2d(images, kernels, values(width), stride=stride))
        for function in (F.gelu, F.silu, torch.tanh, torch.sigmoid, lambda x: F.softmax(x, -1), lambda x: F.log_softmax(x, -1)):
            both_ways(function(values(7, 37)))
            both_ways(function(values(1, 1000)))
        both_ways(F.layer_norm(values(9, 96), (96,), values(96), values(96)))
        both_ways(F.group_norm(values(4, 32, 6, 6), 8, values(32), values(32)))
        both_ways(F.avg_pool2d(values(4, 8, 12, 12), 2))
        both_ways(F.adaptive_avg_pool2d(values(4, 8, 12, 12), 3))
        both_ways(F.interpolate(values(4, 3, 40, 40), (28, 28), mode="bilinear"))
        both_ways(F.embedding(torch.arange(60).reshape(4, 15) % 23, values(23, 48)))
        torch.linalg.vector_norm(values(10_007)).backward()
        (values(33, 17).mean(0) * values(17)).sum().backward()
        weights = torch.nn.Parameter(values(300).detach())
        weights.grad = values(300).detach()
        torch.optim.AdamW([weights], lr=1e-3, fused=True).step()
    with trace.Recorder() as before_training:  # without the guard, which applies to training steps only
        resize_positions(values(1, 1 + 37 * 37, 384).detach(), 64)
    return recorder.lines + before_training.lines


if __name__ == "__main__":
    pins.pin_torch()
    folder, overridden, rebuilt, *stages = sys.argv[1:]
    os.chdir(folder)
    trace.write(Path("ops.jsonl"), every_op(), {"work": "ops"})
    for stage in stages:
        importlib.import_module(f"bitbloom.stages.{stage}").run(Target.load(rebuilt))
    inference.BATCH = subset.DIRECT_FROM  # the smallest size that uses the algorithms of larger ones
    for name, overrides in json.loads(overridden).items():
        lines, lines_of_ledger = steps(name, 1, overrides)
        trace.write(Path(f"{name}.jsonl"), lines, {"work": [name, *overrides], "ledger": lines_of_ledger})
