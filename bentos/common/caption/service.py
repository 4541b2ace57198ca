"""A service for a model of kind `caption` whose task has none of its own: a photo → sentences, a sentence → photos."""

from pathlib import Path

import bentoml

from bitbloom.serving import process
from bitbloom.serving.caption_app import CaptionApplication

application = process.prepared(CaptionApplication(Path(__file__).resolve().parent))


@bentoml.service(name=application.settings.task, **process.options())
@bentoml.asgi_app(application.asgi)
class PhotosAndSentences:
    """Photos → sentences, and sentences → photos."""

    def __init__(self) -> None:
        process.start(application)
