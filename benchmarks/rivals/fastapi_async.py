"""FastAPI as courses on MLOps teach it: uvicorn fastapi_async:app"""

from __future__ import annotations

import models
from fastapi import FastAPI, UploadFile

app = FastAPI()
model = models.load()


@app.post("/predict")
async def predict(image: UploadFile) -> dict[str, object]:
    """Label the photo in the form field `image`."""
    return models.predict(model, await image.read())
