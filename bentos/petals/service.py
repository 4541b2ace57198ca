"""The petals service: a photo of a flower in, its species out.

    make serve                       # or, in the venv: bentoml serve petals:latest
    curl -F image=@photo.jpg localhost:3000/predict

The package stage puts the model, its limits and its provenance beside this file.
"""

from __future__ import annotations

from pathlib import Path

import bentoml

from bitbloom.serving.app import Application
from bitbloom.serving.process import ENVIRONMENT, UNLOGGED, UNTRACED, make_turns_short, prepare

HERE = Path(__file__).resolve().parent

application = Application(HERE)
prepare(application)
image = bentoml.images.Image(base_image="python:3.11-slim-bookworm", distro="none", lock_python_packages=False)


@bentoml.service(
    name="petals",
    image=image.requirements_file("requirements-serve.lock"),  # relative: BentoML enters this folder first
    resources={"cpu": "1"},
    workers=1,
    envs=ENVIRONMENT,
    logging=UNLOGGED,
    tracing=UNTRACED,
)
@bentoml.asgi_app(application.asgi)
class Petals:
    """Photos of flowers → species."""

    def __init__(self) -> None:
        application.open()
        make_turns_short()
