"""A client of the services, which retries when a service is overloaded or a connection breaks.

    with Client("http://127.0.0.1:3000") as service:
        service.predict(Path("photo.jpg").read_bytes())["label"]

`bitbloom ask URL photo.jpg` does the same from a shell. A request changes nothing in the service, so it may be repeated.
"""

from __future__ import annotations

import random
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import httpx
from httpx_retries import Retry, RetryTransport

from bitbloom.core.errors import BitBloomError, UnreadableImage
from bitbloom.serving import files, rows, settings
from bitbloom.serving.caption_predictor import CaptionResponse, SearchResponse, SimilarityResponse
from bitbloom.serving.predictor import Failure, Prediction
from bitbloom.serving.settings import Provenance
from bitbloom.serving.text_predictor import Prediction as TextPrediction

RETRIED = (429, 502, 503)
"""Statuses after which another attempt may succeed."""
CLIENT_ERRORS = (400, 408, 413, 415, 422)
"""Statuses of a request that is wrong itself."""
CONNECTION_ERRORS = (httpx.TimeoutException, httpx.NetworkError, httpx.ProxyError, httpx.RemoteProtocolError)
"""Errors of the connection that another attempt may not have."""
FIRST_WAIT, LONGEST_WAIT = 0.25, 60.0
"""Seconds before the second attempt, doubled before each later one, and their maximum; `Retry-After` replaces them."""
SPREAD = 1.5
"""A wait is random between its length and this multiple of it, so that clients rejected together do not return together."""


class ServiceError(BitBloomError):
    """An error response with its `status` and `reason`, or a missing response."""

    def __init__(self, message: str, status: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


class Client:
    """A connection to one service, of any task."""

    def __init__(self, url: str, token: str | None = None, attempts: int = 5, timeout: float = 60.0) -> None:
        """Connect at the first request.

        Args:
            url: address of the service, with or without a path before its routes.
            token: bearer token; else that of the environment, BITBLOOM_TOKEN.
            attempts: maximum for each request, at least 1.
            timeout: seconds to wait for each response.

        Raises:
            ServiceError: `url` is not an address, or `attempts` is less than 1.
        """
        if attempts < 1:
            raise ServiceError("no attempt is allowed: give Client attempts=1 or more")
        token = token or settings.token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            base = httpx.URL(f"{url.rstrip('/')}/v1/")
            self.http = httpx.Client(base_url=base, headers=headers, timeout=timeout, transport=_transport(base, attempts))
        except httpx.InvalidURL as error:
            raise ServiceError(f"'{url}' is not an address of a service ({error}): give one like http://HOST:PORT") from error

    def __enter__(self) -> Self:
        """Return this client."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connection."""
        self.http.close()

    def predict(self, photo: bytes, attention: bool = False) -> Prediction:
        """The label of a photo; with `attention`, also the attention map."""
        return cast(Prediction, self._post("predict", content=photo, params={"attention": attention}))

    def predict_batch(self, photos: Sequence[bytes]) -> list[Prediction | Failure]:
        """The labels of several photos, in order; one that cannot be read has its error in its place."""
        files = [("image", (str(number), photo)) for number, photo in enumerate(photos)]
        return cast("list[Prediction | Failure]", self._post("predict_batch", files=files))

    def label(self, texts: Sequence[str | dict[str, str]], words: bool = False) -> list[TextPrediction | Failure]:
        """The labels of texts (or of objects with `text`, `keyword`, `location`); with `words`, also the weight of each word."""
        return cast("list[TextPrediction | Failure]", self._post("predict", json={"texts": list(texts), "words": words}))

    def caption(self, photo: bytes) -> CaptionResponse:
        """Sentences about a photo, best first."""
        return cast(CaptionResponse, self._post("caption", content=photo))

    def search(self, sentence: str, count: int = 12) -> SearchResponse:
        """The photos of the index most similar to a sentence."""
        return cast(SearchResponse, self._post("search", json={"sentence": sentence, "count": count}))

    def similarity(self, photo: bytes, sentences: Sequence[str]) -> SimilarityResponse:
        """How similar each sentence is to a photo."""
        return cast(SimilarityResponse, self._post("similarity", files={"image": photo}, data={"sentence": list(sentences)}))

    def predictions(self, paths: Iterable[Path]) -> Iterator[dict[str, object]]:
        """Predict files as `bitbloom predict` does, with the service: one object per photo or row of text.

        Raises:
            ServiceError: the service does not respond, or requires a token.
        """
        kind = self.service()["kind"]
        if kind == "text":
            return self._rows(paths)
        predict: Callable[[bytes], Any] = self.caption if kind == "caption" else self.predict
        return files.of_photos(lambda photo: _unreadable_if_rejected(predict, photo), paths)

    def _rows(self, paths: Iterable[Path]) -> Iterator[dict[str, object]]:
        for path in paths:
            for row in rows.read(path):
                message = {"text": row.text, "keyword": row.keyword, "location": row.location}
                try:
                    (label,) = self.label([message])
                    yield {"id": row.id, **{key: value for key, value in label.items() if key != "words"}}
                except ServiceError as error:
                    if error.status not in CLIENT_ERRORS:
                        raise
                    yield {"id": row.id, "error": error.reason}

    def provenance(self) -> Provenance:
        """Commit and digests of the service."""
        return cast(Provenance, self._request("GET", "provenance"))

    def service(self) -> dict[str, Any]:
        """The names and limits of the service."""
        return cast("dict[str, Any]", self._request("GET", "service.json"))

    def _post(self, route: str, **content: Any) -> Any:
        return self._request("POST", route, **content)

    def _request(self, method: str, route: str, **content: Any) -> Any:
        """Return the response's JSON, after at most the allowed number of attempts.

        Raises:
            ServiceError: the last attempt has an error response (`status`) or none.
        """
        try:
            return _content(self.http.request(method, route, **content))
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise ServiceError(f"{self.http.base_url}: {error}: give an address like http://127.0.0.1:3000") from error
        except httpx.TransportError as error:
            raise ServiceError(f"{self.http.base_url} does not respond ({error}): is the service running?") from error


class _SpreadRetry(Retry):
    """The policy of httpx-retries, which also spreads the waits that a service names."""

    def parse_retry_after(self, retry_after: str) -> float:
        """Seconds to wait for a `Retry-After` header (seconds or a date). Raises ValueError when it is neither."""
        named = min(LONGEST_WAIT, super().parse_retry_after(retry_after))
        return named * random.uniform(1.0, SPREAD)  # noqa: S311 -- no secret depends on it


def _transport(url: httpx.URL, attempts: int) -> RetryTransport:
    """Return the connection to a service. Every request can be repeated, also POST, because no request changes the service."""
    retry = _SpreadRetry(
        total=attempts - 1,
        allowed_methods=("GET", "POST"),
        status_forcelist=RETRIED,
        retry_on_exceptions=CONNECTION_ERRORS,
        backoff_factor=FIRST_WAIT * SPREAD / 2,  # of 2 ** attempts so far, less up to backoff_jitter of it
        backoff_jitter=1 - 1 / SPREAD,
        max_backoff_wait=LONGEST_WAIT * SPREAD,
        validate_response=_read,
    )
    return RetryTransport(httpx.HTTPTransport(proxy=_proxy(url)), retry)


def _read(response: httpx.Response) -> None:
    """Receive the body within the attempt, so that a connection that breaks halfway is retried."""
    response.read()


def _proxy(url: httpx.URL) -> str | None:
    """Return the proxy that the environment names for a service: httpx reads it only for its own transport."""
    if urllib.request.proxy_bypass(url.netloc.decode("ascii")):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _unreadable_if_rejected(predict: Callable[[bytes], Any], photo: bytes) -> dict[str, object]:
    """Return the prediction. Raises UnreadableImage, as a local model does, when the service rejects the photo."""
    try:
        return {**predict(photo)}
    except ServiceError as error:
        if error.status in CLIENT_ERRORS:
            raise UnreadableImage(error.reason) from error
        raise


def _content(response: httpx.Response) -> Any:
    try:
        content = response.json()
    except ValueError as error:
        raise ServiceError(
            f"{response.url} sent {response.status_code} without JSON: is it a service of BitBloom?", response.status_code
        ) from error
    if response.is_success:
        return content
    reason = content.get("error", content) if isinstance(content, dict) else content
    message = f"{response.url} rejected the request ({response.status_code}): {reason}"
    raise ServiceError(message, response.status_code, str(reason))
