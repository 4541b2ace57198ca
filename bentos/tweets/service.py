"""The tweets service: a text in, whether it is about a real disaster out.

    make serve                       # or, in the venv: bentoml serve tweets:latest
    curl --json '{"texts": ["flood water entered the clinic at dawn"]}' localhost:3000/predict

The package stage puts the model, its limits and its provenance beside this file.
"""

from __future__ import annotations

from pathlib import Path

import bentoml

from bitbloom.serving.process import ENVIRONMENT, UNLOGGED, UNTRACED, make_turns_short, prepare
from bitbloom.serving.text_app import TextApplication

HERE = Path(__file__).resolve().parent

application = TextApplication(HERE)
prepare(application)
image = bentoml.images.Image(base_image="python:3.11-slim-bookworm", distro="none", lock_python_packages=False)


@bentoml.service(
    name="tweets",
    image=image.requirements_file("requirements-serve.lock"),  # relative: BentoML enters this folder first
    resources={"cpu": "1"},
    workers=1,
    envs=ENVIRONMENT,
    logging=UNLOGGED,
    tracing=UNTRACED,
)
@bentoml.asgi_app(application.asgi)
class Tweets:
    """Texts → disaster or not."""

    def __init__(self) -> None:
        application.open()
        make_turns_short()
