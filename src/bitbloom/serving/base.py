"""What the web applications of all services share: names and limits, provenance, the page, and refusals in JSON.

A `service.py` of `bentos/` mounts one in a BentoML service, which adds /readyz, /livez, /metrics and /docs.json.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from pydantic import TypeAdapter

from bitbloom.core import canonical, cpu
from bitbloom.serving import model_files, protection, refusals
from bitbloom.serving.settings import PROVENANCE, Provenance, Settings, provenance
from bitbloom.serving.threads import Threads

Result = TypeVar("Result")
PAGE = "page"
PAGE_HEADERS = {"Cache-Control": "no-cache"}
VERSION = "/v1"
"""Below it, every route a second time, for programs: what changes a program's answers gets another version."""


class Service(ABC):
    """The routes of a service; a task's own class adds those that ask its model, which it opens in `open_model`."""

    def __init__(self, folder: Path) -> None:
        """Read the names and limits in `folder`, which holds service.json, provenance.json, the model and page/."""
        self.folder = folder
        self.settings = Settings.read(folder)
        self.asgi = self._application()

    def check(self) -> None:
        """Hold the model's files against the digest in provenance.json. Raises BitBloomError on a wrong model.

        For whoever starts the service, before its processes: BentoML starts one that cannot open its model again and again.
        """
        model_files.check(self.folder, canonical.read_json(self.folder / PROVENANCE)["model_digest"])

    def open(self) -> None:
        """Open the model and take the digests, in the process that serves. Raises BitBloomError on a wrong model."""
        self.open_model(self.folder, canonical.read_json(self.folder / PROVENANCE)["model_digest"])
        self.provenance = provenance(self.folder)
        self.threads = Threads(cpu.cores(), self.settings.target)

    async def in_thread(self, compute: Callable[..., Result], *arguments: object) -> Result:
        """What `compute` returns, from a thread: no more at once than there are cores, those that wait in their order."""
        return await self.threads.run(compute, *arguments)

    @abstractmethod
    def open_model(self, folder: Path, digest: str) -> None:
        """Open the exported model, which lies in the service's folder and has this digest."""

    @abstractmethod
    def add_routes(self, router: APIRouter) -> None:
        """Add the routes that ask the model."""

    def folders(self) -> dict[str, Path]:
        """Folders of files that a task's answers name, by their place in the address."""
        return {}

    def _application(self) -> FastAPI:
        app = FastAPI(title=self.settings.title, docs_url=None, redoc_url=None, openapi_url=None)
        for prefix in ("", VERSION):
            # Its routes in the application's own list: an included router is asked for each request whether it fits, twice.
            app.router.routes.extend(self._router(prefix).routes)
        app.get("/", include_in_schema=False)(self.page)
        app.mount(f"/{PAGE}", StaticFiles(directory=self.folder / PAGE), name=PAGE)
        for place, folder in self.folders().items():
            # Without the check here: a folder that is not there is `open`'s to name.
            files = StaticFiles(directory=folder, check_dir=False)
            app.mount(f"/{place}", files, name=place)
            app.mount(f"{VERSION}/{place}", files, name=f"{place} of {VERSION}")
        refusals.handle(app)
        protection.add(app, self.settings)
        return app

    def _router(self, prefix: str) -> APIRouter:
        router = APIRouter(prefix=prefix)
        self.add_routes(router)  # first: routes are tried in their order
        router.get("/provenance", summary="Where the answers come from")(self.show_provenance)
        router.get("/service.json", summary="Names and limits of this service")(self.show_settings)
        return router

    def show_provenance(self) -> Provenance:
        """The commit, the digests of data, lock, model and Bento, and the command that builds them again."""
        return self.provenance

    def show_settings(self) -> dict[str, str | int | float]:
        """Title and limits: bytes and pixels of a photo, photos of a batch, and below which probability to doubt."""
        return asdict(self.settings)

    def page(self) -> FileResponse:
        """The page for people."""
        return FileResponse(self.folder / PAGE / "index.html", headers=PAGE_HEADERS)


class RequestRoute(APIRoute):
    """A route whose endpoint reads the request itself: without a query, FastAPI has nothing to find in it for the endpoint.

    The endpoint's answer is written by its type, and not held against it first, as FastAPI does with answers from anywhere.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own handler for questions with a query, else the short way."""
        with_query, endpoint, answer = super().get_route_handler(), self.endpoint, TypeAdapter(self.response_model)

        async def handle(request: Request) -> Response:
            if request.scope["query_string"]:
                return await with_query(request)
            return Response(answer.dump_json(await endpoint(request)), media_type="application/json")

        return handle
