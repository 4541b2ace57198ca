"""What BentoML puts before our applications, and what it no longer does."""

from __future__ import annotations

import bentoml
import pytest
from _bentoml_impl.server.app import ServiceAppFactory
from fastapi import FastAPI
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.util.http import ExcludeList
from starlette.middleware import Middleware

from bitbloom.serving import process


@pytest.fixture
def before(monkeypatch):
    """The names of the middleware before an application, for the options of its service."""
    monkeypatch.setattr(ServiceAppFactory, "middlewares", ServiceAppFactory.middlewares)  # put back at the end
    process.pass_straight_through()

    def names(**options):
        @bentoml.service(name="probe", **options)
        @bentoml.asgi_app(FastAPI())
        class Probe:
            pass

        return [middleware.cls.__name__ for middleware in Probe.to_asgi().user_middleware]

    return names


def test_metrics_are_all_that_stands_before_an_application_of_ours(before):
    assert before(logging=process.UNLOGGED, tracing=process.UNTRACED) == ["RunnerTrafficMetricsMiddleware"]


def test_the_log_can_be_switched_on(before):
    switched_on = {"access": {"enabled": True}}
    assert before(logging=switched_on, tracing=process.UNTRACED) == ["RunnerTrafficMetricsMiddleware", "AccessLogMiddleware"]


@pytest.mark.parametrize(("excluded", "needed"), [([], True), (["health"], True), ([".*"], False)])
def test_traces_are_made_unless_they_are_of_nothing(excluded, needed):
    traced = Middleware(OpenTelemetryMiddleware, excluded_urls=ExcludeList(excluded))
    assert process._is_needed(traced) == needed
