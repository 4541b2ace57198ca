"""The service of a model of kind `text`: a text in, its class out.

make serve TARGET=tweets                      # or, in the venv: bentoml serve tweets:latest
curl --json '{"texts": ["flood water entered the clinic at dawn"]}' localhost:3000/predict
python -c 'import bentoml; print(bentoml.SyncHTTPClient("http://localhost:3000").predict(text="flood water"))'

The methods below are for BentoML's client, its playground and `bentoml.depends`. `/predict` and `/v1/predict` compute the same,
faster: serving/text_app.py.
"""

from pathlib import Path

import bentoml

from bitbloom.serving import process
from bitbloom.serving.predictor import Failure
from bitbloom.serving.text_app import Message, Text, TextApplication
from bitbloom.serving.text_predictor import Prediction

application = process.prepared(TextApplication(Path(__file__).resolve().parent))


@bentoml.service(**process.options(application))
class Service:
    """Texts in, classes out."""

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

    @bentoml.api(route="/api/predict")
    async def predict(self, text: Text, keyword: Text = "", location: Text = "", words: bool = True) -> Prediction:
        """Label a text; with `words`, add the weight of each word."""
        with process.bentoml_errors():
            (prediction,) = await application.label_texts([Message(text=text, keyword=keyword, location=location)], words)
            return prediction

    @bentoml.api(route="/api/predict_batch")
    async def predict_batch(self, texts: list[Text], words: bool = True) -> list[Prediction | Failure]:
        """Label texts, in order; a text of which nothing is left after cleaning has an `error` in its place."""
        with process.bentoml_errors():
            return await application.label_texts([Message(text=text) for text in texts], words)


process.serve(application, Service)
