"""Traces of all ops and the digests of their outputs, to find the first op in which two machines differ.

    with trace.Recorder() as recorder:
        run.step(12)
    trace.write(path, recorder.lines, {"step": 12})

A record is a JSON-lines file: one line about the machine and the work, then one line per op, in order: `op`, the shapes of
its `inputs`, and the SHA-256 of each tensor that it returned or wrote (`outputs`, 16 digits).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.numerics import facts, ledger

UNINITIALISED = ("empty", "new_empty")
DIGITS = 16

Line = dict[str, Any]


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the ops inside the block, forward and backward. Views compute nothing and are omitted."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lines: list[Line] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the op and record it."""
        result = func(*args, **(kwargs or {}))
        name = op_name(func)
        if not func.is_view and not name.startswith(UNINITIALISED):
            written = list(tensors(result if result is not None else args[:1]))  # fused optimisers write to their first argument
            if written:
                inputs = [shape(tensor) for tensor in tensors((args, kwargs or {}))]
                self.lines.append({"op": name, "inputs": inputs, "outputs": [_digest(tensor) for tensor in written]})
        return result


def op_name(func: Any) -> str:
    """Return the name of an op: `addmm` for `aten.addmm.default`."""
    name: str = func.overloadpacket.__name__
    return name


def shape(tensor: Tensor) -> str:
    """Return dtype and shape of a tensor: `float32[8,192]`."""
    return f"{str(tensor.dtype).removeprefix('torch.')}[{','.join(map(str, tensor.shape))}]"


def tensors(value: Any) -> Iterator[Tensor]:
    """Iterate over all tensors in nested lists, tuples and dictionaries, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))


def _digest(tensor: Tensor) -> str:
    return ledger.tensors_digest([tensor]).hex()[:DIGITS]


def write(path: Path, lines: Iterable[Line], work: Line) -> None:
    """Write a record of this machine."""
    head = {"machine": facts.facts(), **work}
    canonical.write_text(path, "".join(canonical.json_line(line) for line in (head, *lines)))


@dataclass(frozen=True)
class Record:
    """A record: its first line, and its ops."""

    head: Line
    lines: list[Line]


def read(path: Path) -> Record:
    """Read a record. Raises BitBloomError if the file is not a record."""
    try:
        head, *lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
        if "machine" not in head or any("op" not in line for line in lines):
            raise ValueError("expected one line about the machine, then one line per op")
    except (ValueError, OSError) as error:
        raise BitBloomError(f"{path} is not a record of ops: {error}") from error
    return Record(head, lines)


def first_difference(first: list[Line], second: list[Line]) -> int | None:
    """Return the position of the first op that differs in name, shapes or result; None if one list is a prefix of the other."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((number for number, (one, other) in pairs if one != other), None)
