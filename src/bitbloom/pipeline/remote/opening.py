"""The store of a remote, checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bitbloom.pipeline.remote.settings import Remote
    from bitbloom.pipeline.remote.store import Store


def opened(remote: Remote) -> Store:
    """The store of a remote that exists and responds. Raises RemoteError."""
    store = unchecked(remote)
    store.check()
    return store


def unchecked(remote: Remote) -> Store:
    """The store of a remote, without a request. Google's client is imported for a bucket alone."""
    if remote.in_bucket:
        from bitbloom.pipeline.remote.bucket import Bucket

        return Bucket(remote)
    from bitbloom.pipeline.remote.folder import Folder

    return Folder(Path(remote.url))
