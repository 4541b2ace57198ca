"""Publication of a built target: all of its files in one commit of a repository of the hub.

bitbloom hub push petals org/name --dry-run
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bitbloom.core import git
from bitbloom.core.errors import BitBloomError
from bitbloom.hub import client
from bitbloom.hub.files import HubFile, collect, is_committed

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MADE_BY_HUB = (".gitattributes",)
"""Files that the hub adds to a new repository."""


@dataclass(frozen=True)
class Plan:
    """What a push commits."""

    target: str
    repository: str
    commit: str
    files: list[HubFile]

    @property
    def message(self) -> str:
        """First line of the commit in the repository."""
        return f"{self.target} of BitBloom {self.commit}"


def plan(target: str, repository: str) -> Plan:
    """Return what would be committed.

    Raises:
        BitBloomError: the checkout has changes, or the model differs from the target's digests.
    """
    client.require_repository(repository)
    commit = git.clean_commit()
    if commit is None:
        raise BitBloomError(
            "refused: the checkout has no commit or uncommitted changes, and the card names the commit: commit first"
        )
    return Plan(target, repository, commit, collect(target, commit))


def push(found: Plan, private: bool = False) -> str:
    """Create the repository if it does not exist, and commit all files. Returns the repository's commit, 40 digits.

    Raises:
        BitBloomError: the hub refuses it, or cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd

    api = client.connect()
    operations = [CommitOperationAdd(file.path, file.content) for file in found.files]
    with client.errors(found.repository):
        api.create_repo(found.repository, private=private or None, exist_ok=True)
        done = api.create_commit(found.repository, operations, commit_message=found.message)
        _warn_of_others(api, found, done.oid)
    return done.oid


def _warn_of_others(api: HfApi, found: Plan, revision: str) -> None:
    """Print the files of the repository that are not of this push. They stay, and a check reports them."""
    ours = {file.path for file in found.files}
    others = [name for name in api.list_repo_files(found.repository, revision=revision) if name not in {*ours, *MADE_BY_HUB}]
    if others:
        print(f"not of this push, and `bitbloom hub check` reports them: {', '.join(sorted(others))}")


def show(found: Plan) -> None:
    """Print every file with its size and SHA-256, and the commit."""
    table = Table("file", "bytes", "SHA-256", box=None)
    table.columns[1].justify = "right"
    for file in found.files:
        table.add_row(file.path, f"{file.bytes:,}", file.sha256)
    Console(width=120, highlight=False).print(table)
    total = sum(file.bytes for file in found.files)
    print(f"{len(found.files)} files, {total:,} bytes, one commit in {found.repository}: {found.message}")
    if not is_committed(found.target):
        print(f"'{found.target}' has no committed digests: its files are as the last build here left them")
