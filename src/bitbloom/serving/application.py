"""What the web applications of all services share: limits, provenance, the page, the description of the interface.

`process.serve` puts one before the BentoML service of `bentos/`, which has /readyz, /livez, /metrics and its typed methods.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from bitbloom.core import canonical, cpu
from bitbloom.serving import metrics, model_files, openapi, protection, rejections, tracing, uploads
from bitbloom.serving.prediction_log import settings as log_settings
from bitbloom.serving.prediction_log.log import PredictionLog
from bitbloom.serving.prediction_log.observations import Origin
from bitbloom.serving.prediction_log.routes import FEEDBACK_LIMIT, LogRoutes
from bitbloom.serving.protection import Limit
from bitbloom.serving.settings import PROVENANCE, Provenance, Settings, provenance
from bitbloom.serving.threads import Threads

Result = TypeVar("Result")
PAGE = "page"
PAGE_HEADERS = {"Cache-Control": "no-cache"}
VERSION = "/v1"
"""Prefix of a second copy of every route, for programs: an incompatible change gets another version."""
SPARE = 1
"""Threads beside one for each core. A thread that returns to Python waits for the interpreter; another then uses its core."""


class Application(ABC):
    """The routes of a service. The class of a kind of model adds those which use the model that `open_model` opens."""

    def __init__(self, folder: Path) -> None:
        """Read the names and limits in `folder`, which holds service.json, provenance.json, the model and page/."""
        self.folder = folder
        self.settings = Settings.read(folder)
        self.bentoml_openapi: Callable[[], dict[str, Any]] = dict
        """BentoML's description of its own routes."""
        self.log: PredictionLog | None = None
        """Open while the process serves, if BITBLOOM_LOG is set."""
        self.routes = self._routes()

    def check(self) -> None:
        """Compare the model's files with the digest in provenance.json, and check the settings of the log.

        Raises:
            BitBloomError: they differ, or no log can be kept.

        Before BentoML starts its processes: it would start a process again and again that cannot open its model.
        """
        model_files.check(self.folder, canonical.read_json(self.folder / PROVENANCE)["model_digest"])
        if chosen := log_settings.read():
            log_settings.check(chosen)

    def open(self) -> None:
        """Open the model and the log, and compute the digests, in the process that serves.

        Raises:
            BitBloomError: the model differs, or the log cannot be opened.
        """
        self.open_model(self.folder, canonical.read_json(self.folder / PROVENANCE)["model_digest"])
        self.provenance = provenance(self.folder)
        self.threads = Threads(cpu.cores() + SPARE, self.settings.target)
        self.log = PredictionLog.open(self.folder, self.settings.kind, self.provenance["digests"])

    def close(self) -> None:
        """Write what the log has in memory. After the last response."""
        if self.log:
            self.log.close()

    def origin(self, number: int = 0) -> Origin | None:
        """Begin prediction `number` of the request that is served, if it is to be logged. In the event loop."""
        return self.log.origin(number) if self.log else None

    def waiting(self) -> int:
        """Computations that wait for a thread."""
        return self.threads.waiting.qsize()

    def labels(self) -> Sequence[str]:
        """The labels that a prediction can have; none where it is a text of its own."""
        return ()

    async def in_thread(self, compute: Callable[..., Result], *arguments: object) -> Result:
        """What `compute` returns, from one of the threads; first come, first served."""
        return await self.threads.run(tracing.traced(_from_queue), time.perf_counter(), compute, *arguments)

    @abstractmethod
    def open_model(self, folder: Path, digest: str) -> None:
        """Open the exported model of this digest in the service's folder."""

    @abstractmethod
    def add_routes(self, router: APIRouter) -> None:
        """Add the routes that use the model."""

    def all_limits(self) -> dict[str, Limit]:
        """Bounds on the bodies of every route, by their names."""
        return {**self.limits(), "feedback": FEEDBACK_LIMIT}

    @abstractmethod
    def limits(self) -> Mapping[str, Limit]:
        """Bounds on the bodies of the routes of `add_routes`, by their names."""

    def folders(self) -> dict[str, Path]:
        """Folders of files that a task's responses name, by their path below the service's address."""
        return {}

    def read_file(self, photo: Path) -> bytes:
        """An uploaded photo on disk. Raises Rejected (413) when it is too large."""
        if photo.stat().st_size > self.settings.max_bytes:
            raise uploads.too_large(self.settings.max_bytes)
        return photo.read_bytes()

    def protected(self) -> ASGIApp:
        """The routes behind the middleware of `protection`, for a server that is not BentoML's."""
        app: ASGIApp = self.routes
        for middleware, options in reversed(protection.middleware(self.settings, self.all_limits())):
            app = middleware(app, **options)
        return app

    def _routes(self) -> FastAPI:
        app = FastAPI(title=self.settings.title, description=self.__doc__ or "", docs_url=None, redoc_url=None, openapi_url=None)
        for prefix in ("", VERSION):
            # In the application's own list: FastAPI matches an included router's routes twice for each request.
            app.router.routes.extend(self._router(prefix).routes)
        app.get("/", include_in_schema=False)(self.page)
        app.get("/docs", include_in_schema=False)(self.docs)
        app.get("/docs.json", include_in_schema=False)(self.openapi)
        app.mount(f"/{PAGE}", StaticFiles(directory=self.folder / PAGE), name=PAGE)
        for path, folder in self.folders().items():
            # `open` reports a folder that is missing.
            files = StaticFiles(directory=folder, check_dir=False)
            app.mount(f"/{path}", files, name=path)
            app.mount(f"{VERSION}/{path}", files, name=f"{path} of {VERSION}")
        rejections.handle(app)
        return app

    def _router(self, prefix: str) -> APIRouter:
        router = APIRouter(prefix=prefix, tags=[f"Fast routes {prefix}".strip()])
        self.add_routes(router)  # first: routes are matched in their order
        LogRoutes(lambda: self.log, self.labels).add(router)
        router.get("/provenance", summary="Commit and digests of what responds")(self.show_provenance)
        router.get("/service.json", summary="Names and limits of this service")(self.show_settings)
        return router

    def show_provenance(self) -> Provenance:
        """The commit, the digests of data, lock, model and Bento, and the command that builds them again."""
        return self.provenance

    def show_settings(self) -> dict[str, str | int | float]:
        """Title and limits: bytes and pixels of a photo, photos of a batch, the probability below which a label is unsure."""
        return asdict(self.settings)

    def page(self) -> FileResponse:
        """The page for people."""
        return FileResponse(self.folder / PAGE / "index.html", headers=PAGE_HEADERS)

    def docs(self) -> HTMLResponse:
        """Swagger UI."""
        return openapi.page(self.settings.title)

    def openapi(self) -> JSONResponse:
        """The OpenAPI description of these routes and of BentoML's."""
        return JSONResponse(self._document)

    @cached_property
    def _document(self) -> dict[str, Any]:
        _, _, version = (self.provenance["bento"] or "").partition(":")
        return openapi.document(self.routes, version or "0", self.bentoml_openapi())


class Routes:
    """ASGI middleware that sends requests for an application's routes there, and all others to BentoML."""

    def __init__(self, app: ASGIApp, application: Application) -> None:
        self.app, self.ours = app, application.routes
        found = [(str(getattr(route, "path", "")), isinstance(route, Mount)) for route in self.ours.routes]
        self.paths = frozenset(path for path, is_folder in found if not is_folder)
        self.folders = tuple(f"{path}/" for path, is_folder in found if is_folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Choose by the path."""
        is_ours = scope["type"] == "http" and (scope["path"] in self.paths or scope["path"].startswith(self.folders))
        await (self.ours if is_ours else self.app)(scope, receive, send)


def _from_queue(put: float, compute: Callable[..., Result], *arguments: object) -> Result:
    metrics.took("queue", time.perf_counter() - put)
    return compute(*arguments)
