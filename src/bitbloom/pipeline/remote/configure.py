"""`bitbloom remote`: make a bucket or a folder DVC's default remote, in a `.dvc/config` that is ready to commit.

Secrets are never in that file: the path of a key is in `.dvc/config.local`, which git ignores.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import build
from bitbloom.pipeline.remote import rights, settings
from bitbloom.pipeline.remote.opening import opened

if TYPE_CHECKING:
    from bitbloom.pipeline.remote.rights import Wanted

NAME = "storage"
PRIVATE = 0o600


def configure(address: str, wanted: Wanted, key: Path | None = None, dry_run: bool = False) -> None:
    """Create what is wanted, configure the remote, check that it responds, and print what to commit.

    Args:
        address: gs://bucket/prefix, or the path of a folder.
        wanted: a bucket or folder to create, accounts to admit.
        key: a service account's key file, for machines without another identity.
        dry_run: print all commands and run none.

    Raises:
        BitBloomError: the address or the key cannot be used, a command fails, or the remote does not respond.
    """
    outside = _cloud_commands(address, wanted)
    url = address.rstrip("/") if address.startswith(settings.BUCKET) else str(Path(address).expanduser().resolve())
    inside = _dvc_commands(url, _checked_key(key) if key else None)
    if dry_run:
        print(rights.shown([*outside, *inside]))
        return
    if outside and outside[0][0] == "gcloud" and shutil.which("gcloud") is None:
        raise BitBloomError("gcloud is not installed: DRY_RUN=1 prints its commands for a machine that has it")
    for command in [*outside, *inside]:
        _run(command)
    _make_private(settings.LOCAL)
    if key:
        _make_private(key)
    opened(settings.required()).check()
    print(f"{url} responds and is the default remote '{NAME}'\ngit add {settings.CONFIG} && git commit -m 'Use {url} as remote'")


def _cloud_commands(address: str, wanted: Wanted) -> list[list[str]]:
    """What to run before DVC knows the remote. Raises BitBloomError."""
    if address.startswith((settings.BUCKET, settings.S3)):
        return rights.commands(address, wanted)
    if "://" in address:
        raise BitBloomError(f"'{address}': use gs://bucket/prefix, or the path of a folder")
    if wanted.writer or wanted.reader:
        raise BitBloomError("WRITER and READER are for buckets: the rights to a folder are its owner, group and mode")
    return [["mkdir", "-p", "--", str(Path(address).expanduser().resolve())]] if wanted.create else []


def _dvc_commands(url: str, key: Path | None) -> list[list[str]]:
    """`verify`: DVC too compares digests when a person calls `dvc pull`."""
    found = [
        ["dvc", "remote", "add", "--quiet", "--force", "--default", NAME, url],
        ["dvc", "remote", "modify", "--quiet", NAME, "verify", "true"],
    ]
    if key:
        found.append(["dvc", "remote", "modify", "--quiet", "--local", NAME, "credentialpath", str(key)])
    return found


def _checked_key(key: Path) -> Path:
    """The absolute path of a key file. Raises BitBloomError when it is missing, or in the checkout, where git may take it."""
    path = key.expanduser().resolve()
    if not path.is_file():
        raise BitBloomError(f"{key}: there is no such key file")
    if path.is_relative_to(Path().resolve()):
        raise BitBloomError(f"{key} is in the checkout, where it may be committed: move it elsewhere, such as to ~/.config")
    return path


def _make_private(file: Path) -> None:
    """Let only its owner read a file."""
    if file.exists() and stat.S_IMODE(file.stat().st_mode) != PRIVATE:
        file.chmod(PRIVATE)


def _run(command: Sequence[str]) -> None:
    """Run a command; its own message explains a failure."""
    if subprocess.run(command, env=build.environ("portable")).returncode:
        raise BitBloomError(f"{' '.join(command[:4])} failed; see the message above")
