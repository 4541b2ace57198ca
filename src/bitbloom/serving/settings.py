"""Limits and provenance of a service: `service.json` and `provenance.json`, which the package stage writes into the Bento."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import TypedDict

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.serving import bento

SETTINGS = "service.json"
PROVENANCE = "provenance.json"
LOCK = "requirements-serve.lock"
"""Beside them: the packages of an image."""
TOKEN_VARIABLE = "BITBLOOM_TOKEN"  # noqa: S105 -- the name of a variable
FEEDBACK_TOKEN_VARIABLE = "BITBLOOM_FEEDBACK_TOKEN"  # noqa: S105
ORIGINS_VARIABLE = "BITBLOOM_CORS_ORIGINS"
"""Origins of other pages that may use the service, separated by commas; * for all."""
PREDICTION_HEADER = "X-Prediction-Id"
"""Of the response with a prediction that is logged: its id."""
PRINTABLE = re.compile(r"[\x21-\x7e]*")
COMMIT = re.compile(r"[0-9a-f]{7,64}")
COMMIT_VARIABLES = ("BITBLOOM_COMMIT", "IMAGE_REVISION")
"""The first is set where the service is started; an image sets the second to its label org.opencontainers.image.revision."""


@dataclass(frozen=True)
class Settings:
    """Names and limits of a service; the target's `service` section."""

    target: str
    task: str
    kind: str
    """Of the model: image, text or caption."""
    title: str
    max_bytes: int
    max_pixels: int
    max_batch: int
    max_requests: int
    held_bytes: int
    body_seconds: float
    unsure_below: float

    @classmethod
    def read(cls, folder: Path) -> Settings:
        """Read the folder's `service.json`."""
        return cls(**canonical.read_json(folder / SETTINGS))


def token(variable: str = TOKEN_VARIABLE) -> str:
    """The token in a variable of the environment, "" without one. Raises BitBloomError when an HTTP header cannot carry it."""
    found = os.environ.get(variable, "").strip()
    if not PRINTABLE.fullmatch(found):
        raise BitBloomError(f"{variable} has a space or a letter outside of ASCII: choose another token")
    return found


class Digests(TypedDict):
    """SHA-256 of the processed data, the lock the stages ran on, the served model, and the Bento this runs from."""

    data: str
    lock: str
    model: str
    bento: str | None


class Provenance(TypedDict):
    """What a service runs, and how to build the same bytes again."""

    target: str
    task: str
    commit: str | None
    digests: Digests
    bento: str | None
    rebuild: str


def provenance(folder: Path) -> Provenance:
    """The provenance of the service in `folder`, the `src` of its Bento.

    The Bento's digest is computed from the files as they are now; it is null outside of a Bento. The commit is that of
    the environment (`BITBLOOM_COMMIT`, or the image's revision), else that of the installation, else null.
    """
    facts = canonical.read_json(folder / PROVENANCE)
    digest = bento.digest(folder.parent) if (folder.parent / bento.MANIFEST).is_file() else None
    commit = _commit(folder.parent / bento.COMMIT)
    build = facts["rebuild"]
    return Provenance(
        target=facts["target"],
        task=facts["task"],
        commit=commit,
        digests=Digests(data=facts["data_digest"], lock=facts["lock_digest"], model=facts["model_digest"], bento=digest),
        bento=f"{facts['target']}:{bento.version(digest)}" if digest else None,
        rebuild=f"git checkout {commit} && {build}" if commit else build,
    )


def _commit(installed: Path) -> str | None:
    """The first variable that holds a commit, else the content of the file. Anything else must not enter a shell command."""
    values = [os.environ.get(name, "") for name in COMMIT_VARIABLES]
    with contextlib.suppress(OSError, UnicodeDecodeError):
        values.append(installed.read_text(encoding="ascii"))
    return next((value for value in values if COMMIT.fullmatch(value)), None)
