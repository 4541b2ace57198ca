"""The commands of gcloud that create a bucket and give rights to it: to the objects below one prefix, and to no other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline.remote.settings import BUCKET, NO_S3, S3

ADDRESS = re.compile(r"gs://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])((?:/[A-Za-z0-9._=-]+)*)/?")
"""A bucket and a prefix that need no quotes in a condition."""
WRITER = ("roles/storage.objectCreator", "roles/storage.objectViewer")
"""Who pushes creates objects and reads them. The roles delete and replace none: an object never changes."""
READER = ("roles/storage.objectViewer",)


@dataclass(frozen=True)
class Wanted:
    """What to create and whom to admit: accounts, with `user:`, `group:` or `serviceAccount:` or without."""

    create: bool = False
    project: str = ""
    location: str = ""
    writer: str = ""
    reader: str = ""


def parsed(address: str) -> tuple[str, str]:
    """Bucket and prefix of gs://bucket/prefix. Raises BitBloomError."""
    if address.startswith(S3):
        raise BitBloomError(NO_S3)
    found = ADDRESS.fullmatch(address)
    if not found:
        raise BitBloomError(
            f"'{address}' is not the address of a bucket: gs://bucket or gs://bucket/prefix, letters, digits and . _ = -"
        )
    return found[1], found[2].strip("/")


def commands(address: str, wanted: Wanted) -> list[list[str]]:
    """The commands of gcloud, in order. Raises BitBloomError."""
    bucket, prefix = parsed(address)
    if wanted.create and not (wanted.project and wanted.location):
        raise BitBloomError(
            "CREATE=1 needs PROJECT (the id of your Google Cloud project) and LOCATION (for instance europe-west4)"
        )
    found = [_creation(bucket, wanted)] if wanted.create else []
    for account, roles in ((wanted.writer, WRITER), (wanted.reader, READER)):
        if account:
            found += [_binding(bucket, prefix, account, role) for role in roles]
    return found


def _creation(bucket: str, wanted: Wanted) -> list[str]:
    """Rights are those of IAM alone, which conditions need, and never public."""
    return [
        *("gcloud", "storage", "buckets", "create", f"{BUCKET}{bucket}", f"--project={wanted.project}"),
        *(f"--location={wanted.location}", "--uniform-bucket-level-access", "--public-access-prevention"),
    ]


def _binding(bucket: str, prefix: str, account: str, role: str) -> list[str]:
    command = ["gcloud", "storage", "buckets", "add-iam-policy-binding", f"{BUCKET}{bucket}"]
    return [*command, f"--member={member(account)}", f"--role={role}", f"--condition={_condition(bucket, prefix)}", "--quiet"]


def _condition(bucket: str, prefix: str) -> str:
    """Objects below the prefix, and lists of them. gcloud reads `^;^` as: the parts are separated by semicolons."""
    if not prefix:
        return "None"
    objects = f"resource.name.startsWith('projects/_/buckets/{bucket}/objects/{prefix}/')"
    lists = f"api.getAttribute('storage.googleapis.com/objectListPrefix', '').startsWith('{prefix}/')"
    return f"^;^title=bitbloom-{re.sub('[^A-Za-z0-9-]', '-', prefix)};expression={objects} || {lists}"


def member(account: str) -> str:
    """An account as IAM names it. Raises BitBloomError."""
    kind, separator, name = account.rpartition(":")
    if separator and kind not in ("user", "group", "serviceAccount"):
        raise BitBloomError(f"'{account}': write user:…, group:… or serviceAccount:…; data is never given to everyone")
    if "@" not in name or len(name.split()) != 1:
        raise BitBloomError(f"'{account}' is not the e-mail address of an account")
    if separator:
        return account
    return f"{'serviceAccount' if name.endswith('.gserviceaccount.com') else 'user'}:{name}"


def shown(commands: Sequence[Sequence[str]]) -> str:
    """Commands for a shell, one a line."""
    import shlex

    return "\n".join(map(shlex.join, commands))
