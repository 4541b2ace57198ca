"""The captions service: a photo in, sentences out; a sentence in, photos out.

make serve TARGET=captions         # or, in the venv: bentoml serve captions:latest
curl -F image=@photo.jpg localhost:3000/caption
curl --json '{"sentence": "a red flower"}' localhost:3000/search
"""

from pathlib import Path

import bentoml

from bitbloom.serving import process
from bitbloom.serving.caption_app import CaptionApplication

application = process.prepared(CaptionApplication(Path(__file__).resolve().parent))


@bentoml.service(name="captions", **process.options())
@bentoml.asgi_app(application.asgi)
class Captions:
    """Photos → sentences, and sentences → photos."""

    def __init__(self) -> None:
        process.start(application)
