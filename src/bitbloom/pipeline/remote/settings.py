"""The default remote in DVC's configuration of a workspace, and the folder of DVC's cache.

Read without DVC, whose import takes longer than a build that is up to date.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bitbloom.core.errors import BitBloomError

CONFIG, LOCAL = Path(".dvc/config"), Path(".dvc/config.local")
"""The committed configuration, and that of one checkout: only the second may hold secrets."""
BUCKET = "gs://"
S3 = "s3://"
NO_S3 = "s3:// is not possible: dvc-s3 cannot be locked beside bentoml 1.4.39; use gs://bucket/prefix or a folder"


@dataclass(frozen=True)
class Remote:
    """A remote: name, address (gs://bucket/prefix, an absolute path, or another kind that only DVC reads), options."""

    name: str
    url: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def in_bucket(self) -> bool:
        """Whether it is a bucket of Google Cloud Storage."""
        return self.url.startswith(BUCKET)

    @property
    def is_foreign(self) -> bool:
        """Whether only DVC itself, with a plugin, reads and writes it."""
        return not self.in_bucket and not Path(self.url).is_absolute()


def default(workspace: Path = Path()) -> Remote | None:
    """The default remote of the committed and the local configuration; None without one."""
    read = _read(workspace)
    name = _value(read, "core", "remote")
    if not name:
        return None
    section = f"'remote \"{name}\"'"
    options = {key: _plain(value) for key, value in read.items(section)} if read.has_section(section) else {}
    url = options.pop("url", "")
    if url and "://" not in url:
        url = str(_resolved(workspace, url))
    if "credentialpath" in options:
        options["credentialpath"] = str(_resolved(workspace, options["credentialpath"]))
    return Remote(name, url, options)


def required(workspace: Path = Path()) -> Remote:
    """The default remote. Raises BitBloomError when there is none, or when only DVC reads it."""
    found = default(workspace)
    if found is None:
        raise BitBloomError("no remote is configured: make remote BUCKET=gs://bucket/prefix, or BUCKET=/path/to/folder")
    if found.url.startswith(S3):
        raise BitBloomError(NO_S3)
    if found.is_foreign:
        what = f"remote '{found.name}' ({found.url or 'without a url'})"
        raise BitBloomError(f"{what} is neither gs:// nor a folder: use `dvc push` and `dvc pull`")
    return found


def cache_folder(workspace: Path = Path()) -> Path:
    """The folder of DVC's cache."""
    configured = _value(_read(workspace), "cache", "dir")
    return _resolved(workspace, configured) if configured else workspace / ".dvc/cache"


def _read(workspace: Path) -> configparser.ConfigParser:
    read = configparser.ConfigParser(
        interpolation=None, strict=False, inline_comment_prefixes=("#",), comment_prefixes=("#", ";")
    )
    try:
        for file in (CONFIG, LOCAL):
            read.read(workspace / file, encoding="utf-8")
    except configparser.Error as error:
        raise BitBloomError(f"{workspace / CONFIG} is not a configuration of DVC: {error}") from error
    return read


def _value(read: configparser.ConfigParser, section: str, key: str) -> str:
    return _plain(read.get(section, key, fallback=""))


def _plain(value: str) -> str:
    """A value without the quotes that DVC writes around some."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _resolved(workspace: Path, path: str) -> Path:
    """DVC reads paths relative to the folder of the configuration."""
    return Path(os.path.normpath((workspace / ".dvc").resolve() / Path(path).expanduser()))
