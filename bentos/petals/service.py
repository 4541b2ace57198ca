"""The petals service: a photo of a flower in, its species out.

make serve         # or, in the venv: bentoml serve petals:latest
curl -F image=@photo.jpg localhost:3000/predict
"""

from pathlib import Path

import bentoml

from bitbloom.serving import process
from bitbloom.serving.app import Application

application = process.prepared(Application(Path(__file__).resolve().parent))


@bentoml.service(name="petals", **process.options())
@bentoml.asgi_app(application.asgi)
class Petals:
    """Photos of flowers → species."""

    def __init__(self) -> None:
        process.start(application)
