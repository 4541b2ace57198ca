"""The service of a model of kind `caption`: a photo in, sentences out; a sentence in, photos out.

make serve TARGET=captions                    # or, in the venv: bentoml serve captions:latest
curl -F image=@photo.jpg localhost:3000/caption
curl --json '{"sentence": "a red flower"}' localhost:3000/search
python -c 'import bentoml; print(bentoml.SyncHTTPClient("http://localhost:3000").search(sentence="a red flower"))'

The methods below are for BentoML's client, its playground and `bentoml.depends`. `/caption`, `/search`, `/similarity` and those
below `/v1/` compute the same, faster: serving/caption_app.py.
"""

from pathlib import Path

import bentoml

from bitbloom.serving import process, typed
from bitbloom.serving.caption_app import CaptionApplication, Count, Sentence
from bitbloom.serving.caption_predictor import CaptionResponse, SearchResponse, SimilarityResponse

application = process.prepared(CaptionApplication(Path(__file__).resolve().parent))


@bentoml.service(**process.options(application))
class Service:
    """Photos in, sentences out; sentences in, photos out."""

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

    @bentoml.api(route="/api/caption", input_spec=typed.Photo)
    async def caption(self, image: Path) -> CaptionResponse:
        """Sentences about a photo, best first."""
        with process.bentoml_errors():
            return await application.in_thread(application.describe_file, image, application.origin())

    @bentoml.api(route="/api/search")
    async def search(self, sentence: Sentence, count: Count = 12) -> SearchResponse:
        """The photos of the index most similar to a sentence."""
        with process.bentoml_errors():
            return await application.in_thread(application.find, sentence, count, application.origin())

    @bentoml.api(route="/api/similarity", input_spec=typed.PhotoAndSentences)
    async def similarity(self, image: Path, sentences: list[str]) -> SimilarityResponse:
        """The similarity of a photo with each sentence."""
        with process.bentoml_errors():
            return await application.in_thread(application.compare_file, image, sentences, application.origin())


process.serve(application, Service)
