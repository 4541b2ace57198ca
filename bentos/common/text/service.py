"""The service of a task with a model of kind `text` that has none of its own: a text in, its class out."""

from pathlib import Path

import bentoml

from bitbloom.serving import process
from bitbloom.serving.text_app import TextApplication

application = process.prepared(TextApplication(Path(__file__).resolve().parent))


@bentoml.service(name=application.settings.task, **process.options())
@bentoml.asgi_app(application.asgi)
class Texts:
    """Texts → classes."""

    def __init__(self) -> None:
        process.start(application)
