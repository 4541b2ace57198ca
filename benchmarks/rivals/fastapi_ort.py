import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import to_thread
from fastapi import FastAPI, UploadFile

from bitbloom.serving.predictor import Predictor

model = Predictor.open(Path(__file__).resolve().parents[2] / "models/petals")

@asynccontextmanager
async def a_thread_a_core(_: FastAPI) -> AsyncIterator[None]:
    to_thread.current_default_thread_limiter().total_tokens = len(os.sched_getaffinity(0))
    yield

app = FastAPI(lifespan=a_thread_a_core)

@app.post("/predict")
def predict(image: UploadFile) -> dict[str, object]:
    return dict(model.predict(image.file.read()))
