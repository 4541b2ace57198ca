"""The captions service: a photo in, sentences out; a sentence in, photos out.

    make serve                       # or, in the venv: bentoml serve captions:latest
    curl -F image=@photo.jpg localhost:3000/caption
    curl --json '{"sentence": "a red flower"}' localhost:3000/search

The package stage puts the graphs, the index of photos, the limits and the provenance beside this file.
"""

from __future__ import annotations

from pathlib import Path

import bentoml

from bitbloom.serving.caption_app import CaptionApplication
from bitbloom.serving.process import ENVIRONMENT, UNLOGGED, UNTRACED, make_turns_short, prepare

HERE = Path(__file__).resolve().parent

application = CaptionApplication(HERE)
prepare(application)
image = bentoml.images.Image(base_image="python:3.11-slim-bookworm", distro="none", lock_python_packages=False)


@bentoml.service(
    name="captions",
    image=image.requirements_file("requirements-serve.lock"),  # relative: BentoML enters this folder first
    resources={"cpu": "1"},
    workers=1,
    envs=ENVIRONMENT,
    logging=UNLOGGED,
    tracing=UNTRACED,
)
@bentoml.asgi_app(application.asgi)
class Captions:
    """Photos → sentences, and sentences → photos."""

    def __init__(self) -> None:
        application.open()
        make_turns_short()
