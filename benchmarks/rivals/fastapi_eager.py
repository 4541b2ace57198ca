"""FastAPI and PyTorch, as courses on MLOps teach it: uvicorn fastapi_eager:app"""

from __future__ import annotations

from eager import Eager
from fastapi import FastAPI, UploadFile

app = FastAPI()
model = Eager()


@app.post("/predict")
async def predict(image: UploadFile) -> dict[str, object]:
    """Label the photo in the form field `image`."""
    return model.label_file(await image.read())
