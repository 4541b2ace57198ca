"""A remote in a bucket of Google Cloud Storage, or in an emulator of it.

Google's client names each failure by a class. gcsfs, by which DVC reads buckets, reports missing rights as a plain OSError.
Credentials are those of the environment or the machine, or a key file in `.dvc/config.local`.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any

import requests.exceptions
import urllib3.exceptions
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from bitbloom.pipeline.remote.settings import BUCKET, Remote
from bitbloom.pipeline.remote.store import Absent, Denied, Entry, NoSuchRemote, RemoteError, Unreachable

EMULATOR = "STORAGE_EMULATOR_HOST"
"""The variable by which Google's clients find an emulator."""
QUICK = (3.0, 10.0)
PATIENT = (10.0, 60.0)
"""Seconds until a connection, and until a response: of the check, and of a transfer."""
RETRY_SECONDS = 60.0
"""How long a failing request is repeated."""
AT_ONCE = 8
"""Requests at the same time: less than the connections that the client keeps."""
STATS = 256
"""Up to this number, objects are asked for one by one; more, by listing their folders, of which there are 256."""
NETWORK = (
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    api.ServerError,
    api.TooManyRequests,
    api.RetryError,
    auth.TransportError,
    ConnectionError,
    TimeoutError,
)
CREDENTIALS = (api.Forbidden, api.Unauthorized, auth.GoogleAuthError)


class Bucket:
    """Objects below `gs://bucket/prefix`."""

    def __init__(self, remote: Remote) -> None:
        self.url = remote.url.rstrip("/")
        self.name, _, prefix = self.url.removeprefix(BUCKET).partition("/")
        self.prefix = f"{prefix}/" if prefix else ""
        self.options = remote.options

    def check(self) -> None:
        """Return when the bucket exists and its prefix may be listed. Fails fast, without repetitions."""
        with self._translated("list"):
            list(self._client.list_blobs(self.name, prefix=self.prefix, max_results=1, timeout=QUICK, retry=None))

    def find(self, names: Collection[str]) -> dict[str, Entry]:
        """Those of these objects that exist."""
        with self._translated("list"), ThreadPoolExecutor(AT_ONCE) as pool:
            if len(names) <= STATS:
                asked = {name: pool.submit(self._get, name) for name in names}
                return {name: _entry(blob) for name, future in asked.items() if (blob := future.result())}
            folders = [folder for folder, _ in groupby(sorted(name.rpartition("/")[0] for name in names))]
            listed = [pool.submit(self._list, folder) for folder in folders]
            wanted = frozenset(names)
            return {name: entry for future in listed for name, entry in future.result() if name in wanted}

    def names(self, folder: str) -> list[str]:
        """The names of all objects in a folder, sorted."""
        with self._translated("list"):
            return sorted(name for name, _ in self._list(folder))

    def read(self, name: str, file: Path) -> None:
        """Download an object to a file. Raises Absent."""
        with self._translated("read"), file.open("wb") as stream:
            try:
                # checksum: the caller compares the digest in the name; the service's own would be raised as another class.
                self._blob(name).download_to_file(stream, checksum=None, retry=self._retry, timeout=PATIENT)
            except api.NotFound as error:
                raise Absent(name) from error

    def write(self, name: str, file: Path, replace: bool = False) -> None:
        """Upload a file. An object appears when its upload ends."""
        condition = {} if replace else {"if_generation_match": 0}  # another clone may have sent it meanwhile
        with self._translated("replace" if replace else "write"), contextlib.suppress(api.PreconditionFailed):
            self._blob(name).upload_from_filename(
                str(file), content_type="application/octet-stream", retry=self._retry, timeout=PATIENT, **condition
            )

    def _blob(self, name: str) -> Any:
        return self._client.bucket(self.name).blob(self.prefix + name)

    def _get(self, name: str) -> Any:
        return self._client.bucket(self.name).get_blob(self.prefix + name, timeout=PATIENT, retry=self._retry)

    def _list(self, folder: str) -> list[tuple[str, Entry]]:
        found = self._client.list_blobs(self.name, prefix=f"{self.prefix}{folder}/", timeout=PATIENT, retry=self._retry)
        return [(blob.name.removeprefix(self.prefix), _entry(blob)) for blob in found]

    @functools.cached_property
    def _retry(self) -> Any:
        from google.cloud.storage.retry import DEFAULT_RETRY

        return DEFAULT_RETRY.with_timeout(RETRY_SECONDS)

    @functools.cached_property
    def _client(self) -> Any:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        project = self.options.get("projectname")
        key, endpoint = self.options.get("credentialpath"), self.options.get("endpointurl")
        client_options = {"api_endpoint": endpoint} if endpoint else None
        if key:
            try:
                return storage.Client.from_service_account_json(key, project=project, client_options=client_options)
            except (OSError, ValueError) as error:
                raise Denied(f"{self.url}: {key} is not a readable key file: make remote … CREDENTIALS=key.json") from error
        anonymous = self.options.get("allow_anonymous_login", "").lower() == "true" or EMULATOR in os.environ
        credentials = AnonymousCredentials() if anonymous else None  # type: ignore[no-untyped-call]
        return storage.Client(project=project, credentials=credentials, client_options=client_options)

    @contextlib.contextmanager
    def _translated(self, verb: str) -> Iterator[None]:
        """Raise each failure as a RemoteError of its kind."""
        try:
            yield
        except NETWORK as error:
            raise Unreachable(
                f"{self.url} does not respond ({type(error).__name__}): check the network, and run again"
            ) from error
        except CREDENTIALS as error:
            raise Denied(_denied(self.url, verb, error)) from error
        except api.NotFound as error:
            message = f"bucket {BUCKET}{self.name} does not exist: make remote BUCKET={self.url} CREATE=1 PROJECT=… creates it"
            raise NoSuchRemote(message) from error
        except api.GoogleAPICallError as error:
            raise RemoteError(f"{self.url}: {error.message}") from error


def _denied(url: str, verb: str, error: Exception) -> str:
    if isinstance(error, auth.GoogleAuthError):
        return f"{url}: no valid credentials: gcloud auth application-default login, or make remote … CREDENTIALS=key.json"
    right = {"list": "READER", "read": "READER"}.get(verb, "WRITER")
    more = " and the right to delete objects, which WRITER does not have" if verb == "replace" else ""
    return (
        f"{url}: these credentials may not {verb} objects: its administrator gives the right with "
        f"make remote BUCKET={url} {right}=account{more}"
    )


def _entry(blob: Any) -> Entry:
    return Entry(int(blob.size or 0), base64.b64decode(blob.md5_hash).hex() if blob.md5_hash else None)
