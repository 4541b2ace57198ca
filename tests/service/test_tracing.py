"""Traces by the standard variables of OpenTelemetry, sent to a stand-in for a collector."""

from __future__ import annotations

import gzip
import http.server
import secrets
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from bitbloom.core.errors import BitBloomError
from bitbloom.serving import tracing
from support.standin import Served, photo, serving

RED = (210, 40, 40)
SECONDS = 20


class Collector:
    """A server at /v1/traces that keeps what it receives (OTLP over HTTP)."""

    def __init__(self) -> None:
        self.received: list[ResourceSpans] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                outer.received += ExportTraceServiceRequest.FromString(body).resource_spans
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self, trace: bytes) -> dict[str, Span]:
        """The spans of a trace by their names."""
        found = [span for each in list(self.received) for scope in each.scope_spans for span in scope.spans]
        return {span.name: span for span in found if span.trace_id == trace}


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


@pytest.mark.slow
def test_spans_of_a_prediction_are_below_that_of_its_client(served: Served, tmp_path, collector):
    standard = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    standard |= {"OTEL_TRACES_SAMPLER": "parentbased_always_off", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test"}
    trace, parent = secrets.token_bytes(16), secrets.token_bytes(8)
    with serving("petals:latest", served.home, tmp_path, **standard) as url:
        unsampled = secrets.token_bytes(16)
        for each, sampled in ((unsampled, "00"), (trace, "01")):
            headers = {"traceparent": f"00-{each.hex()}-{parent.hex()}-{sampled}"}
            response = httpx.post(f"{url}/predict", content=photo(RED), headers=headers)
            assert response.json()["label"] == "poppy"
    end = time.monotonic() + SECONDS
    while len(collector.spans(trace)) < 4 and time.monotonic() < end:
        time.sleep(0.05)
    found = collector.spans(trace)
    parts = {name: found.pop(name) for name in ("queue", "decode", "model")}
    (server,) = found.values()
    assert server.kind == Span.SPAN_KIND_SERVER
    assert server.parent_span_id == parent
    assert {part.parent_span_id for part in parts.values()} == {server.span_id}
    assert parts["queue"].start_time_unix_nano <= parts["decode"].start_time_unix_nano <= parts["model"].start_time_unix_nano
    assert all(part.start_time_unix_nano < part.end_time_unix_nano for part in parts.values())
    assert not collector.spans(unsampled)
    attributes = {each.key: each.value.string_value for each in collector.received[0].resource.attributes}
    assert attributes["service.name"] == "petals"
    assert attributes["deployment.environment"] == "test"
    assert attributes["service.version"].startswith("petals:")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_is_on_when_a_collector_is_named(variables, expected):
    assert tracing.is_on(variables) is expected


@pytest.mark.parametrize("other", [{"OTEL_TRACES_EXPORTER": "zipkin"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}])
def test_rejects_an_exporter_that_is_not_there(other):
    with pytest.raises(BitBloomError, match="http/protobuf"):
        tracing.is_on({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", **other})
