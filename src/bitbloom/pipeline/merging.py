"""Resolution of merge conflicts in generated files.

    make merge                  # generate anew, or join both sides by stage
    make merge SIDE=theirs      # where both sides changed a stage, take this one

A text merge could join the inputs of one side with the outputs of the other: the record of a run that never happened. In
`.gitattributes` these files are therefore `-merge`: git keeps one side in the file and both sides in its index. Files with
conflict markers, from before or from another tool, are joined too.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from bitbloom.core import canonical, git
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import composition, graph
from bitbloom.pipeline.conflicts import (
    BY_HAND,
    CLAIMS,
    EDIT,
    GENERATED,
    IMPORTS,
    LOCKS,
    MARKER,
    Conflict,
    marked,
    matches,
    require_unmarked,
    undecided,
    unique,
)
from bitbloom.stages import STAGES

SIDES = ("ours", "theirs")
STAGE = re.compile(r"^(?=  \S)", re.MULTILINE)
"""The begin of a stage's record in a `dvc.lock`."""
REVISIONS = ("HEAD", "HEAD^1", "HEAD^2", "ORIG_HEAD", "CHERRY_PICK_HEAD", "REBASE_HEAD", "REVERT_HEAD", "stash@{0}")

Parts = dict[str, str]
"""The parts of a file that are joined, by name: the stages of a lock, the outputs of a claim, or a whole file."""


def regenerate() -> list[Path]:
    """Generate files with conflict markers anew. Returns the changed files."""
    return graph.write() if marked(GENERATED) else []


def resolve(side: str | None = None) -> list[str]:
    """Resolve the conflicts of all generated files, and add these to git's index.

    Args:
        side: `ours` or `theirs`, for parts that both sides changed.

    Returns:
        a line for each resolved file.

    Raises:
        BitBloomError: a file that a person wrote has conflicts, or both sides changed a part and no side is given. All other
            files are resolved then.
    """
    if side not in (None, *SIDES):
        raise BitBloomError(f"SIDE={side}: it is ours or theirs")
    require_unmarked(BY_HAND, f"{EDIT}, and run `make merge` again")
    unmerged = git.unmerged()
    generated = {each.path for each in marked(GENERATED)} | {path for path in unmerged if matches(path, GENERATED)}
    if generated:
        graph.write()
    lines, resolved, open_ = [f"{path}: generated anew" for path in sorted(generated)], set(generated), []
    for conflict in unique([*marked((LOCKS, CLAIMS, IMPORTS)), *undecided()]):
        both = _join_file(conflict, side)
        if both:
            open_.append(f"{conflict}: both sides changed {', '.join(both)}")
        else:
            resolved.add(conflict.path)
            lines.append(f"{conflict.path}: " + ("joined" if conflict.path.exists() else "removed"))
    git.add(path for path in sorted(resolved) if path in unmerged)
    if open_:
        raise BitBloomError(f"{'; '.join(open_)}: choose one: make merge SIDE=ours, or make merge SIDE=theirs")
    return lines


def _join_file(conflict: Conflict, side: str | None) -> list[str]:
    """Join both sides of a file and write it. Returns the parts that both sides changed, if no side is given."""
    path = conflict.path
    sides = _from_git(path)
    base, ours, theirs = (_text(found) for found in sides or split_markers(path.read_bytes(), conflict))
    if ours is None or theirs is None:  # deleted on one side: a target that exists keeps its record
        kept = ours if theirs is None else theirs
        _write(path, kept if _is_wanted(path) else None)
        return []
    split, unite = (_stages, _lock) if path.match(LOCKS) else (_outputs, _claim) if path.match(CLAIMS) else (_whole, _first)
    parts, both = join(None if base is None else split(base, path), split(ours, path), split(theirs, path), side)
    if not both:
        known = _known(path) if path.match(LOCKS) and not sides else set()
        _write(path, unite({name: text for name, text in parts.items() if not known or text in known}))
    return both


def join(base: Parts | None, ours: Parts, theirs: Parts, side: str | None) -> tuple[Parts, list[str]]:
    """Join the parts of two sides; what only one side changed is taken from it.

    Args:
        base: the parts of the version before both; None if it is unknown: then a part that only one side has is kept.
        ours: our parts.
        theirs: their parts.
        side: the side to take where both changed a part.

    Returns:
        the parts, and the names of those that both changed, if no side is given.
    """
    joined: dict[str, str | None] = {}
    both = []
    for name in dict.fromkeys([*ours, *theirs]):
        mine, other = ours.get(name), theirs.get(name)
        before = base.get(name) if base is not None else None
        if mine == other or (other == before and (base is not None or other is None)):
            joined[name] = mine
        elif mine == before and (base is not None or mine is None):
            joined[name] = other
        elif side:
            joined[name] = mine if side == "ours" else other
        else:
            both.append(name)
    return {name: text for name, text in joined.items() if text is not None}, both


def _from_git(path: Path) -> tuple[bytes | None, bytes | None, bytes | None] | None:
    """The version before both sides, ours and theirs, from git's index or the commits of a merge; None without them."""
    if path in git.unmerged():
        return git.side(path, 1), git.side(path, 2), git.side(path, 3)
    ours, theirs = ("HEAD^1", "HEAD^2") if path.read_bytes() == git.committed(path) else ("HEAD", "MERGE_HEAD")
    sides = git.show(ours, path), git.show(theirs, path)
    if None in sides or any(MARKER.search(each or b"") for each in sides):
        return None
    return git.show(git.merge_base(ours, theirs), path), *sides


def _known(path: Path) -> set[str]:
    """The records of stages in commits around HEAD. A text merge may have mixed records, which then run again."""
    texts = (_text(git.show(revision, path)) for revision in REVISIONS)
    return {entry for text in texts if text and not MARKER.search(text.encode()) for entry in STAGE.split(text)[1:]}


def split_markers(found: bytes, conflict: Conflict) -> tuple[bytes | None, bytes, bytes]:
    """The version before both sides (None if the markers lack it), ours and theirs. Raises BitBloomError on a lone marker."""
    kept: dict[str, list[bytes]] = {"base": [], "ours": [], "theirs": []}
    now, has_base = "", False
    follows = {b"<": "", b"|": "ours", b"=": "ours base", b">": "theirs"}
    name = {b"<": "ours", b"|": "base", b"=": "theirs", b">": ""}
    for number, line in enumerate(found.splitlines(keepends=True), 1):
        if MARKER.match(line):
            sign = line[:1]
            if now not in follows[sign].split(" "):
                raise BitBloomError(f"{conflict.path}:{number}: a conflict marker without its pair: {_take(conflict.path)}")
            now, has_base = name[sign], has_base or sign == b"|"
            continue
        for part in [now] if now else kept:
            kept[part].append(line)
    if now:
        raise BitBloomError(f"{conflict}: a conflict marker without its pair: {_take(conflict.path)}")
    return b"".join(kept["base"]) if has_base else None, b"".join(kept["ours"]), b"".join(kept["theirs"])


def _take(path: Path) -> str:
    return f"git checkout HEAD -- {path}"


def _stages(text: str, path: Path) -> Parts:
    """The records of a `dvc.lock` by stage. Raises BitBloomError when it is not one."""
    if not is_whole(text.encode()):
        raise BitBloomError(f"{path}: one side is not a whole dvc.lock: {_take(path)}, or merge again")
    return {entry.partition(":")[0].strip(): entry for entry in STAGE.split(text)[1:]}


def is_whole(lock: bytes) -> bool:
    """Whether these bytes are a `dvc.lock` that DVC can read and that ends with a complete line."""
    import yaml
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        record = COMPILED_LOCKFILE_SCHEMA(yaml.load(lock, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError, Invalid):
        return False
    return "stages" in record and lock.endswith(b"\n")


def _lock(parts: Parts) -> str:
    order = sorted(parts, key=lambda name: (*STAGES, name).index(name))
    return "schema: '2.0'\nstages:\n" + "".join(parts[name] for name in order)


def _outputs(text: str, path: Path) -> Parts:
    """The expected digests of a claim by output."""
    try:
        return {name: json.dumps(value) for name, value in json.loads(text).items()}
    except (ValueError, AttributeError) as error:
        raise BitBloomError(f"{path}: one side is not JSON ({error}): {_take(path)}, or merge again") from error


def _claim(parts: Parts) -> str:
    return canonical.json_text({name: json.loads(value) for name, value in parts.items()})


def _whole(text: str, path: Path) -> Parts:
    return {path.name: text}


def _first(parts: Parts) -> str:
    return next(iter(parts.values()))


def _is_wanted(path: Path) -> bool:
    """Whether the target of a file exists."""
    name = path.parent.name if path.match(LOCKS) else path.stem
    return name in composition.targets()


def _write(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
    else:
        canonical.write_text(path, text)


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", errors="surrogateescape").replace("\r\n", "\n")
