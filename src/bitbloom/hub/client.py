"""The client of the hub, with errors for the user.

`HF_ENDPOINT` selects another server, `HF_TOKEN` or `hf auth login` the account: huggingface_hub reads both, and no message has
the token.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bitbloom.core.errors import BitBloomError
from bitbloom.hub.files import COMMIT, REPOSITORY

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def connect() -> HfApi:
    """Return the client."""
    from huggingface_hub import HfApi

    return HfApi(library_name="bitbloom")


@contextlib.contextmanager
def errors(repository: str) -> Iterator[None]:
    """Raise BitBloomError for an error of the hub or of the connection to it."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        advice = ": set HF_TOKEN to a token that may write there, or run `hf auth login`" if status in (401, 403) else ""
        raise BitBloomError(
            f"the hub refuses {repository} with {status}: {error.server_message or 'no reason'}{advice}"
        ) from error
    except (HFValidationError, ValueError, RuntimeError) as error:  # RuntimeError: an upload of one file in a thread
        cause = f" {error.__cause__}" if error.__cause__ else ""
        raise BitBloomError(f"{repository}: {error}{cause}") from error
    except (httpx2.HTTPError, OfflineModeIsEnabled, OSError) as error:
        raise BitBloomError(f"{repository}: the hub cannot be reached: {error}") from error


def require_repository(name: str) -> str:
    """Return the name of a repository. Raises BitBloomError unless it is `org/name`."""
    if not REPOSITORY.fullmatch(name):
        raise BitBloomError(f"'{name}' is not a repository of the hub: give org/name (REPO=org/name)")
    return name


def require_revision(name: str) -> tuple[str, str]:
    """Return repository and commit of `org/name@commit`. Raises BitBloomError for a branch or a tag, which can move."""
    repository, _, commit = name.partition("@")
    if not COMMIT.fullmatch(commit):
        raise BitBloomError(
            f"'{name}' names no commit: give {repository or 'org/name'}@ and its 40 hexadecimal digits; branches and tags move"
        )
    return require_repository(repository), commit
