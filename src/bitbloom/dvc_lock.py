"""`dvc.lock` as the text that DVC writes: a block of lines a stage.

DVC parses and writes the whole file for every stage that runs, by a parser written in Python: 4 s a stage when it holds all
embedded targets. So a build shows DVC the blocks of what is built, and puts the others back at its end.
"""

from __future__ import annotations

import re
from collections.abc import Callable

BLOCK = re.compile(r"^(?=  \S)", re.MULTILINE)


def blocks(lock: str) -> dict[str, str]:
    """The lines of each stage by its name, in the order of the file."""
    return {block.partition(":")[0].strip(): block for block in BLOCK.split(lock)[1:]}


def only(lock: str, wanted: Callable[[str], bool]) -> str:
    """The file with the stages whose names are wanted alone; empty when there are none, which is how DVC begins a file."""
    kept = [block for name, block in blocks(lock).items() if wanted(name)]
    return BLOCK.split(lock)[0] + "".join(kept) if kept else ""


def joined(lock: str, newer: str) -> str:
    """The file with the stages of a newer one in place of its own, then those it did not have: as DVC would write it."""
    head = BLOCK.split(lock)[0] or BLOCK.split(newer)[0]
    return head + "".join((blocks(lock) | blocks(newer)).values())


def cut_off(lock: str) -> str:
    """What is sure to be whole of a file that DVC was writing, in place, when it was killed: all but the last block."""
    head, *whole = BLOCK.split(lock)[:-1] or [""]
    return head + "".join(whole) if whole else ""


def is_whole(lock: bytes) -> bool:
    """Whether these are the bytes of a `dvc.lock` that DVC reads and that was written to the end of a line."""
    import yaml
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        record = COMPILED_LOCKFILE_SCHEMA(yaml.load(lock, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError, Invalid):
        return False
    return "stages" in record and lock.endswith(b"\n")
