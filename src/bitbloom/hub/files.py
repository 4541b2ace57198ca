"""The files of a target in a repository of the hub, and the paths that `digests/<target>.json` has for them.

| in the repository | here |
| --- | --- |
| `model.safetensors`, `config.json`, `training.json`, `ledger.jsonl`, graphs, `parity.json` | `models/<target>/` |
| `metrics.json`, `bento.json` (digests of the Bento and of its files) | `reports/<target>/` |
| `README.md` | the model card with a section about its commit |
| `digests/<target>.json`, `LICENSE`, `NOTICE` | files of the commit |
| `attestations/` | `dist/attestations/<target>/` without the copies of the Bento |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bitbloom.core import canonical
from bitbloom.core.digests import file_digest, folder_files
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import claim, composition
from bitbloom.provenance import attestation

REPORTS = ("metrics.json", "bento.json")
UNPUBLISHED = ("reference.parquet", "familiar.npy")
"""Files of `models/<target>/` that stay here: numbers of single samples, which only a service needs."""
TERMS = ("LICENSE", "NOTICE")
CARD = "README.md"
ATTESTATIONS = "attestations"
MARK = "<!-- added by `bitbloom hub push` -->\n"
"""Line between the model card and the section about its commit."""
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
STATED_COMMIT = re.compile(r"\*\*Commit:\*\* `([0-9a-f]{40})`")


@dataclass(frozen=True)
class HubFile:
    """A file to publish: its path in the repository, its bytes or its file here, and its SHA-256."""

    path: str
    content: Path | bytes
    sha256: str

    @property
    def bytes(self) -> int:
        """The size in bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


def claimed(target: str, outputs: dict[str, str]) -> dict[str, str]:
    """Path in the repository, of a file or a folder → SHA-256, for the published ones of a target's outputs.

    `outputs` has the digest of every output by its path. The card's path stands for the card without its last section.
    """
    models, reports = f"models/{target}/", f"reports/{target}/"
    named = {path.removeprefix(models): sha for path, sha in outputs.items() if path.startswith(models)}
    found = {name: sha for name, sha in named.items() if name not in UNPUBLISHED}
    found |= {name: outputs[reports + name] for name in REPORTS if reports + name in outputs}
    return found | {CARD: outputs[f"{reports}model_card.md"]}


def expected(target: str) -> dict[str, str]:
    """Path of every output in the target's digests → SHA-256. Raises BitBloomError without digests."""
    return {path: str(entry["sha256"]) for path, entry in claim.read(target).items()}


def is_committed(target: str) -> bool:
    """Whether git holds the digests of a target."""
    return bool(composition.compose(target).embedded)


def collect(target: str, commit: str) -> list[HubFile]:
    """Return the files of a built target by their path in the repository, sorted.

    Raises:
        BitBloomError: an output differs from the target's digests or is missing, or an attestation is about another Bento.
    """
    outputs = expected(target)
    require_equal(target, outputs)
    found = {name: path for name in claimed(target, outputs) if name != CARD for name, path in _local(target, name).items()}
    found |= {f"digests/{target}.json": claim.path(target)} | {name: Path(name) for name in TERMS}
    found |= _attestations(target, outputs[f"dist/{target}.bento"])
    files = [HubFile(name, path, file_digest(path)) for name, path in found.items()]
    readme = Path(f"reports/{target}/model_card.md").read_bytes() + section(target, commit).encode()
    return sorted([*files, of_bytes(CARD, readme)], key=lambda file: file.path)


def of_bytes(path: str, content: bytes) -> HubFile:
    """Return a file with this content."""
    import hashlib

    return HubFile(path, content, hashlib.sha256(content).hexdigest())


def require_equal(target: str, outputs: dict[str, str]) -> None:
    """Raise BitBloomError that names outputs which are missing here or have another digest than `outputs` says."""
    try:
        found = claim.current(target)
    except FileNotFoundError as error:
        raise BitBloomError(f"{error.filename} is missing: build the model first: make all TARGET={target}") from error
    here = {path: str(entry["sha256"]) for path, entry in found.items()}
    different = sorted(path for path in {*here, *outputs} if here.get(path) != outputs.get(path))
    if different:
        raise BitBloomError(
            f"refused: {len(different)} of {len(outputs)} outputs differ from {claim.path(target)}, the first is {different[0]}: "
            f"make all TARGET={target} builds this commit; if it still differs, make verify TARGET={target} tells where"
        )


def section(target: str, commit: str) -> str:
    """Return the end of a published card: the commit and the commands that build the model again and compare it."""
    return (
        f"\n{MARK}\n## Where it comes from\n\n"
        f"- **Commit:** `{commit}` of BitBloom; `digests/{target}.json` has the SHA-256 of every output\n"
        f"- **Bento:** `bento.json` has the digest of the service of this model\n\n"
        "In a checkout of that commit, build the model again without a cache, and compare this repository with it:\n\n"
        f"    git checkout {commit}\n"
        f"    make verify TARGET={target}\n"
        f"    make check-hub TARGET={target} REPO=<this repository>@<its commit>\n"
    )


def split_card(readme: bytes) -> tuple[bytes, str]:
    """Return a published card as the model card, and the section after it; the section is empty if the mark is missing."""
    card, mark, rest = readme.partition(f"\n{MARK}".encode())
    return card, (mark + rest).decode("utf-8", errors="replace")


def _local(target: str, name: str) -> dict[str, Path]:
    """Return the files here of a path in the repository: one, or those of a folder."""
    path = Path("reports" if name in REPORTS else "models") / target / name
    if path.is_dir():
        return {f"{name}/{inner}": file for inner, file in folder_files(path).items()}
    return {name: path}


def _attestations(target: str, bento: str) -> dict[str, Path]:
    """Return all statements about the Bento and their signatures. Raises BitBloomError for one about another Bento."""
    folder = attestation.ROOT / target
    found = {name: path for name, path in folder_files(folder).items() if path.suffix == ".json"} if folder.is_dir() else {}
    for path in found.values():
        if path.name == attestation.STATEMENT and bento not in _subjects(path):
            raise BitBloomError(f"refused: {path} is about another Bento: make it again (bitbloom attest {target}), or delete it")
    return {f"{ATTESTATIONS}/{name}": path for name, path in found.items()}


def _subjects(statement: Path) -> list[str]:
    return [subject["digest"]["sha256"] for subject in canonical.read_json(statement)["subject"]]
