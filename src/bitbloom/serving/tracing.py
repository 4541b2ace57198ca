"""Traces of predictions by OpenTelemetry, when its standard variables name a collector; without them nothing is recorded.

    OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 make serve

A request is one span, below that of its client (W3C `traceparent`). Its parts are spans below it: `queue`, `decode`, `model`. The
SDK reads all its standard variables itself: OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_HEADERS and others. The
exporter speaks OTLP over HTTP with protobuf.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer
    from starlette.types import ASGIApp, Receive, Scope, Send

    from bitbloom.serving.settings import Provenance

Result = TypeVar("Result")
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PACKAGE, MODULE = "opentelemetry-exporter-otlp-proto-http", "opentelemetry.exporter.otlp"
UNTRACED = "livez,readyz,metrics"
"""Paths that probes call every few seconds."""


def is_on(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the standard variables name a collector, and do not turn tracing off.

    Raises:
        BitBloomError: the exporter that they ask for is not there.
    """
    exporter = environment.get("OTEL_TRACES_EXPORTER", "otlp").strip()
    is_off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none"
    if is_off or not any(environment.get(name, "").strip() for name in ENDPOINTS):
        return False
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")
    if exporter != "otlp" or protocol not in ("", "http/protobuf"):
        raise BitBloomError(f"OTEL_TRACES_EXPORTER={exporter} {protocol}: traces are sent by otlp over http/protobuf alone")
    if importlib.util.find_spec(MODULE) is None:
        raise BitBloomError(
            f"a variable of OpenTelemetry names a collector, but {PACKAGE} is not installed: pip install {PACKAGE}"
        )
    return True


class Traced:
    """ASGI middleware that makes each request a span, once `start` was called."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.within: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request within its span."""
        if self.within is None and _provider is not None:
            from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

            self.within = OpenTelemetryMiddleware(
                self.app, UNTRACED, tracer_provider=_provider, exclude_spans=["receive", "send"]
            )
        is_request = scope["type"] == "http" and self.within is not None
        await (self.within if is_request and self.within else self.app)(scope, receive, send)


def traced(compute: Callable[..., Result]) -> Callable[..., Result]:
    """The same function, which belongs to the span of the request that is served now, in whichever thread it runs."""
    if _tracer is None:
        return compute
    from opentelemetry import context

    span = context.get_current()

    def within(*arguments: object) -> Result:
        token = context.attach(span)
        try:
            return compute(*arguments)
        finally:
            context.detach(token)

    return within


def took(part: str, seconds: float) -> None:
    """Record a span of this length, which ends now, below the span of the request."""
    if _tracer is not None:
        end = time.time_ns()
        _tracer.start_span(part, start_time=end - int(seconds * 1e9)).end(end)


_provider: TracerProvider | None = None
_tracer: Tracer | None = None


def start(known: Provenance) -> None:
    """Export spans in a thread of OpenTelemetry's SDK, with the names of the service in each. In the process that serves."""
    global _provider, _tracer
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    names = {
        "service.name": known["target"],
        "service.version": known["bento"] or "",
        "bitbloom.model": known["digests"]["model"],
    }
    if os.environ.get("OTEL_SERVICE_NAME") or "service.name" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        del names["service.name"]
    _provider = TracerProvider(resource=Resource.create(names))
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = _provider.get_tracer("bitbloom")


def stop() -> None:
    """Send the spans that wait."""
    if _provider is not None:
        _provider.shutdown()
