"""FastAPI and PyTorch with a thread a core, as who knows both would: uvicorn fastapi_threads:app"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import torch
from anyio import to_thread
from eager import Eager
from fastapi import FastAPI, UploadFile

torch.set_num_threads(1)
model = Eager()


@asynccontextmanager
async def a_thread_a_core(_: FastAPI) -> AsyncIterator[None]:
    """FastAPI runs plain functions in 40 threads."""
    to_thread.current_default_thread_limiter().total_tokens = len(os.sched_getaffinity(0))
    yield


app = FastAPI(lifespan=a_thread_a_core)


@app.post("/predict")
def predict(image: UploadFile) -> dict[str, object]:
    """Label the photo in the form field `image`."""
    return model.label_file(image.file.read())
