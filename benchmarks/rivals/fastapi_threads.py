"""FastAPI with one thread for each core, and SPARE more: uvicorn fastapi_threads:app"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import models
from anyio import to_thread
from fastapi import FastAPI, UploadFile

if os.environ.get("MODEL") == "torch":
    import torch

    torch.set_num_threads(1)
model = models.load()


@asynccontextmanager
async def limit_threads(_: FastAPI) -> AsyncIterator[None]:
    """FastAPI runs plain functions in 40 threads."""
    to_thread.current_default_thread_limiter().total_tokens = len(os.sched_getaffinity(0)) + int(os.environ.get("SPARE", "0"))
    yield


app = FastAPI(lifespan=limit_threads)


@app.post("/predict")
def predict(image: UploadFile) -> dict[str, object]:
    """Label the photo in the form field `image`."""
    return models.predict(model, image.file.read())
