"""A client of the services, which retries when a service is overloaded or a connection breaks.

    with Client("http://127.0.0.1:3000") as service:
        service.predict(Path("photo.jpg").read_bytes())["label"]

`bitbloom ask URL photo.jpg` does the same from a shell. A request changes nothing in the service, so it may be repeated; feedback
that is repeated says the same again.
"""

from __future__ import annotations

import contextlib
import ipaddress
import random
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import httpx
from httpx_retries import Retry, RetryTransport

from bitbloom.core.errors import BitBloomError, UnreadableImage
from bitbloom.serving import files, limits, rows, settings
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
PORTS = {"http": 80, "https": 443}
SPREAD = 1.5
"""A wait is random between its length and this multiple of it, so that clients rejected together do not return together."""


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


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
            ServiceError: `url` is not an address, the proxy of the environment cannot be used, or `attempts` is less than 1.
        """
        if attempts < 1:
            raise ServiceError("no attempt is allowed: give Client attempts=1 or more")
        self.prediction_id: str | None = None
        """The id of the last prediction, if the service logs its predictions. Entry n of a list, from 1 on, has `-n` after it."""
        token = token or settings.token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            base = httpx.URL(f"{url.rstrip('/')}/v1/")
            self.proxy = _proxy(base)
            transport = _transport(self.proxy, attempts)
            self.http = httpx.Client(base_url=base, headers=headers, timeout=timeout, transport=transport)
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

    def feedback(self, labels: Mapping[str, str], token: str | None = None) -> int:
        """Send the true label of each prediction by its id (`prediction_id`). Returns how many the service has accepted.

        Args:
            labels: true labels by ids.
            token: of feedback; else that of the environment, BITBLOOM_FEEDBACK_TOKEN.

        Raises:
            ServiceError: a label is unknown (422), the token is wrong (403), or the service takes no feedback (404).
        """
        token = token or settings.token(settings.FEEDBACK_TOKEN_VARIABLE)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        sent = [{"id": id, "label": label} for id, label in labels.items()]
        return int(self._post("feedback", json=sent, headers=headers)["accepted"])

    def drift(self) -> dict[str, Any]:
        """The drift report of the service's last predictions."""
        return cast("dict[str, Any]", self._request("GET", "drift"))

    def predictions(self, paths: Iterable[Path]) -> Iterator[dict[str, object]]:
        """Predict files as `bitbloom predict` does, with the service: one object per photo or row of text.

        Raises:
            ServiceError: the service does not respond, or requires a token.
        """
        known = self.service()
        if known["kind"] == "text":
            return files.of_rows(self._label_row, paths)
        predict: Callable[[bytes], Any] = self.caption if known["kind"] == "caption" else self.predict
        return files.of_photos(lambda photo: _unreadable_if_rejected(predict, photo), paths, known["max_bytes"])

    def _label_row(self, row: rows.Row) -> dict[str, object]:
        """The label of a row. Raises InvalidText, as a local model does, when the service rejects the text."""
        try:
            (label,) = self.label([{"text": row.text, "keyword": row.keyword, "location": row.location}])
        except ServiceError as error:
            if error.status in CLIENT_ERRORS:
                raise limits.InvalidText(error.reason) from error
            raise
        return {key: value for key, value in label.items() if key != "words"}

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
            response = self.http.request(method, route, **content)
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise ServiceError(f"{self.http.base_url}: {error}: give an address like http://127.0.0.1:3000") from error
        except httpx.TransportError as error:
            through = f" through the proxy {_without_password(self.proxy)}" if self.proxy else ""
            raise ServiceError(f"{self.http.base_url} does not respond{through} ({error}): is the service running?") from error
        self.prediction_id = response.headers.get(settings.PREDICTION_HEADER, self.prediction_id)
        return _content(response)


class _SpreadRetry(Retry):
    """The policy of httpx-retries, which also spreads the waits that a service names."""

    def parse_retry_after(self, retry_after: str) -> float:
        """Seconds to wait for a `Retry-After` header (seconds or a date). Raises ValueError when it is neither."""
        named = min(LONGEST_WAIT, super().parse_retry_after(retry_after))
        return named * random.uniform(1.0, SPREAD)  # noqa: S311 -- no secret depends on it


def _transport(proxy: str | None, attempts: int) -> RetryTransport:
    """Return the connection to a service. Every request can be repeated, also POST, because no request changes the service.

    Raises:
        ServiceError: the proxy cannot be used.
    """
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
    try:
        return RetryTransport(httpx.HTTPTransport(proxy=proxy), retry)
    except (ImportError, ValueError, httpx.InvalidURL) as error:  # SOCKS needs another package
        raise ServiceError(
            f"the proxy {_without_password(proxy or '')} of the environment cannot be used: set http_proxy to an HTTP proxy, "
            "or add the service's host to no_proxy"
        ) from error


def _without_password(proxy: str) -> str:
    """Return the address of a proxy as a message may show it."""
    scheme, separator, rest = proxy.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _read(response: httpx.Response) -> None:
    """Receive the body within the attempt, so that a connection that breaks halfway is retried."""
    response.read()


def _proxy(url: httpx.URL) -> str | None:
    """Return the proxy that the environment names for a service: httpx reads it only for its own transport."""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or _is_direct(url.host.rstrip(".").lower(), url.port or PORTS.get(url.scheme), proxies.get("no", "")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_direct(host: str, port: int | None, excluded: str) -> bool:
    """Return whether a host is this machine, or in `no_proxy`: names, domains, addresses and networks, with or without a port."""
    address = _address(host)
    if host == "localhost" or host.endswith(".localhost") or (address and (address.is_loopback or address.is_unspecified)):
        return True
    return any(_excludes(entry, host, port, address) for entry in excluded.lower().replace(",", " ").split())


def _excludes(entry: str, host: str, port: int | None, address: _Address | None) -> bool:
    """Return whether an entry of `no_proxy` names a host in lower case."""
    if entry == "*":
        return True
    if address is not None:
        with contextlib.suppress(ValueError):
            return address in ipaddress.ip_network(entry, strict=False)
    name, _, number = entry.rpartition(":")
    if number.isdigit() and (name.endswith("]") or ":" not in name):
        if int(number) != port:
            return False
        entry = name
    domain = entry.strip("[]").removeprefix("*").removeprefix(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _address(host: str) -> _Address | None:
    """Return the IP address that a host is, if it is one; an IPv4 address in IPv6 form as IPv4."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


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
