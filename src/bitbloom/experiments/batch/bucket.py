"""Photos in a bucket of Google Cloud Storage, by gcsfs: `gs://bucket/prefix`.

Credentials are those of `gcloud auth application-default login`, of the machine's service account, or none for a public bucket.
"""

from __future__ import annotations

import errno
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bitbloom.core.errors import BitBloomError
from bitbloom.data.clutter import is_clutter
from bitbloom.experiments.batch.listing import Photo
from bitbloom.experiments.reasons import reason

if TYPE_CHECKING:
    from gcsfs import GCSFileSystem

SCHEME = "gs://"
READERS = 16
PAGE = 1000
"""Objects in a response to a request for a list."""
AGAIN = "check the network and the credentials (gcloud auth application-default login), and run the command again to continue"


def is_url(name: str) -> bool:
    """Return whether a source, or a path in a table, is in a bucket."""
    return name.startswith(SCHEME)


def photos(url: str) -> Iterator[Photo]:
    """Iterate over the objects below `gs://bucket/prefix/`, in the service's order, which is that of their names in UTF-8.

    One page is in memory at a time. Folder markers and files of operating systems and tools are left out.

    Raises:
        BitBloomError: the bucket cannot be listed.
    """
    bucket, _, key = url.removeprefix(SCHEME).partition("/")
    prefix = f"{key.rstrip('/')}/" if key.rstrip("/") else ""
    before = b""
    for found in _objects(bucket, prefix):
        name = found["name"].removeprefix(prefix)
        if name.endswith("/") or any(map(is_clutter, name.split("/"))):
            continue
        if name.encode() <= before:
            raise BitBloomError(f"{url}: the storage does not sort its objects ({name} is out of order): copy them to a folder")
        before = name.encode()
        yield Photo(name, int(found["size"]), str(found.get("generation", found.get("md5Hash", ""))))


def _objects(bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    token = None
    while True:
        # GCSFileSystem.find would hold all objects, 3 kB each.
        wanted = {"prefix": prefix or None, "maxResults": PAGE, "pageToken": token}
        fields = "items(name,size,generation,md5Hash),nextPageToken"
        try:
            page = _files().call("GET", "b/{}/o", bucket, json_out=True, fields=fields, **wanted)
        except Exception as error:  # gcsfs, aiohttp and google-auth share no public base class
            raise BitBloomError(f"{SCHEME}{bucket}/{prefix} cannot be listed: {reason(error)}: {AGAIN}") from error
        yield from page.get("items", ())
        token = page.get("nextPageToken")
        if not token:
            return


def read(url: str) -> bytes:
    """The bytes of an object. Raises FileNotFoundError, and BitBloomError when the bucket cannot be read."""
    try:
        data: bytes = _files().cat_file(url)
        return data
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "there is no such object") from error
    except Exception as error:  # as above
        raise BitBloomError(f"{url} cannot be read: {reason(error)}: {AGAIN}") from error


@functools.cache
def _files() -> GCSFileSystem:
    from gcsfs import GCSFileSystem

    return GCSFileSystem(use_listings_cache=False)
