"""Which builds were logged: an equal build is not logged again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bitbloom.core import canonical
from bitbloom.core.digests import file_digest
from bitbloom.pipeline import lineage
from bitbloom.pipeline.recovery import STATE


def note(target: str, workspace: Path) -> tuple[Path, str]:
    """The path and the content of the note that a run was logged. An equal build is not logged again."""
    metrics = [path for path in [workspace / "reports" / target / "metrics.json"] if path.exists()]
    files = [*metrics, *model_files(target, workspace)]
    content = canonical.json_text({path.relative_to(workspace).as_posix(): file_digest(path) for path in files})
    return STATE / "tracked" / lineage.recorded_id(target, workspace), hashlib.sha256(content.encode()).hexdigest()


def is_new(note: Path, content: str) -> bool:
    """Whether a note does not exist with this content."""
    return not note.exists() or note.read_text(encoding="utf-8") != content


def model_files(target: str, workspace: Path) -> list[Path]:
    """The weights, what belongs to them, and the exported graphs and the model card that were made of them."""
    folder, current = workspace / "models" / target, lineage.current(target, workspace)
    files = [folder / name for name in ("model.safetensors", "config.json", "ledger.jsonl")]
    if "export" in current:
        files += sorted(folder.glob("*.onnx"))
    if "evaluate" in current:
        files.append(workspace / "reports" / target / "model_card.md")
    return [file for file in files if file.exists()]
