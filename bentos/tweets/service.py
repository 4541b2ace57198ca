"""The tweets service: a text in, whether it is about a real disaster out.

make serve TARGET=tweets         # or, in the venv: bentoml serve tweets:latest
curl --json '{"texts": ["flood water entered the clinic at dawn"]}' localhost:3000/predict
"""

from pathlib import Path

import bentoml

from bitbloom.serving import process
from bitbloom.serving.text_app import TextApplication

application = process.prepared(TextApplication(Path(__file__).resolve().parent))


@bentoml.service(name="tweets", **process.options())
@bentoml.asgi_app(application.asgi)
class Tweets:
    """Texts → disaster or not."""

    def __init__(self) -> None:
        process.start(application)
