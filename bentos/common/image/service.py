"""The service of a task with a model of kind `image` that has none of its own: a photo in, its class out."""

from pathlib import Path

import bentoml

from bitbloom.serving import process
from bitbloom.serving.app import Application

application = process.prepared(Application(Path(__file__).resolve().parent))


@bentoml.service(name=application.settings.task, **process.options())
@bentoml.asgi_app(application.asgi)
class Photos:
    """Photos → classes."""

    def __init__(self) -> None:
        process.start(application)
