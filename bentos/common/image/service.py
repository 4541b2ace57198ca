"""The service of a model of kind `image`: a photo in, its class out.

make serve                                    # or, in the venv: bentoml serve petals:latest
curl -F image=@photo.jpg localhost:3000/predict
python -c 'import bentoml, pathlib; print(bentoml.SyncHTTPClient("http://localhost:3000").predict(image=pathlib.Path("photo.jpg")))'

The methods below are for BentoML's client, its playground and `bentoml.depends`. `/predict` and `/v1/predict` compute the same,
faster: serving/image_app.py.
"""

from pathlib import Path

import bentoml

from bitbloom.serving import process, typed
from bitbloom.serving.image_app import ImageApplication
from bitbloom.serving.predictor import Failure, Prediction

application = process.prepared(ImageApplication(Path(__file__).resolve().parent))


@bentoml.service(**process.options(application))
class Service:
    """Photos in, classes out."""

    def __init__(self) -> None:
        process.start(application)

    @bentoml.on_deployment
    @staticmethod
    def deploy() -> None:
        """Once, before the processes that serve."""
        process.deploy()

    @bentoml.on_shutdown
    def stop(self) -> None:
        """Write and send what is in memory."""
        process.stop(application)

    @bentoml.api(route="/api/predict", input_spec=typed.PhotoToLabel)
    async def predict(self, image: Path, attention: bool = False) -> Prediction:
        """Label a photo; with `attention`, add the attention map."""
        with process.bentoml_errors():
            return await application.in_thread(application.label_file, image, attention, application.origin())

    @bentoml.api(route="/api/predict_batch", input_spec=typed.Photos)
    async def predict_batch(self, images: list[Path]) -> list[Prediction | Failure]:
        """Label photos, in order; a photo that cannot be read has an `error` in its place."""
        with process.bentoml_errors():
            return await application.label_files(images)


process.serve(application, Service)
