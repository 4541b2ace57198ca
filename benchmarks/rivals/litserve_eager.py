"""LitServe and PyTorch: python litserve_eager.py PORT BATCH"""

import sys

import litserve
import torch
from eager import Eager
from PIL import Image
from starlette.requests import Request


class Petals(litserve.LitAPI):
    """Photos → labels; with batches of more than one, LitServe collects what comes within its window."""

    def setup(self, device: str) -> None:
        """Load the network."""
        self.model = Eager()

    def decode_request(self, request: Request) -> torch.Tensor:
        """The pixels of the form field `image`: for this annotation, which LitServe reads, it gives the form of a request."""
        return self.model.pixels(Image.open(request["image"].file))

    def batch(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        """Pixels [n, 3, S, S]."""
        return torch.stack(inputs)

    @torch.no_grad()
    def predict(self, pixels: torch.Tensor) -> torch.Tensor:
        """Probabilities, of one photo or of several."""
        alone = pixels.ndim == 3
        found: torch.Tensor = self.model.network(pixels[None] if alone else pixels)
        return found[0] if alone else found

    def unbatch(self, output: torch.Tensor) -> list[torch.Tensor]:
        """Those of each photo."""
        return list(output)

    def encode_response(self, output: torch.Tensor) -> dict[str, object]:
        """The likeliest class and its probability."""
        best = int(output.argmax())
        return {"label": self.model.classes[best], "probability": float(output[best])}


if __name__ == "__main__":
    port, batch = map(int, sys.argv[1:])
    api = Petals(max_batch_size=batch, batch_timeout=0.005) if batch > 1 else Petals()
    litserve.LitServer(api, accelerator="cpu", timeout=60).run(host="127.0.0.1", port=port, generate_client_file=False)
