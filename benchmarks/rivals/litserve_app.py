"""LitServe: python litserve_app.py PORT BATCH"""

import os
import sys

import litserve
import models
import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

CORES = len(os.sched_getaffinity(0))


class Petals(litserve.LitAPI):
    """Photos → labels; with batches of more than one photo, LitServe collects the requests of a window of time."""

    def setup(self, device: str) -> None:
        """Load the model."""
        self.model = models.load()

    def decode_request(self, request: Request) -> NDArray[np.uint8]:
        """The pixels [3, S, S] of the form field `image`. Because of the annotation, LitServe passes the form of a request."""
        return self.model.pixels(request["image"].file.read())

    def batch(self, inputs: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Pixels [n, 3, S, S]."""
        return np.stack(inputs)

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities, of one photo or of several."""
        alone = pixels.ndim == 3
        found = self.model.probabilities(pixels[None] if alone else pixels)
        return found[0] if alone else found

    def unbatch(self, output: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The probabilities of each photo."""
        return list(output)

    def encode_response(self, output: NDArray[np.float32]) -> dict[str, object]:
        """The likeliest class and its probability."""
        return self.model.label(output)


if __name__ == "__main__":
    port, batch = map(int, sys.argv[1:])
    api = Petals(max_batch_size=batch, batch_timeout=0.005) if batch > 1 else Petals()
    # With ONNX Runtime, a process has one thread: one process per core. PyTorch uses all cores in one process.
    workers = 1 if os.environ.get("MODEL") == "torch" else CORES
    server = litserve.LitServer(api, accelerator="cpu", timeout=60, workers_per_device=workers)
    server.run(host="127.0.0.1", port=port, generate_client_file=False)
