"""What the service is measured against, each in a process of its own.

`original` is the way of the original: FastAPI, a pandas DataFrame for each request, a scikit-learn
pipeline with a forest of 200 trees of depth 20. The two echoes do no more than HTTP and JSON.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bentoml
import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

FOREST = "BENCHMARK_FOREST"
NUMBERS = ("bed", "bath", "acre_lot", "house_size")
TEXTS = ("city", "state", "zip_code")


class Home(BaseModel):
    """What the baselines read of a request."""

    bed: float | None = None
    bath: float | None = None
    acre_lot: float | None = None
    house_size: float | None = None
    city: str | None = None
    state: str | None = None
    zip_code: str | None = None


def features(frame: pd.DataFrame, codes: dict[str, dict[str, int]]) -> pd.DataFrame:
    """The original's features: numbers imputed by 0, categories by the order of their names."""
    made = frame[list(NUMBERS)].astype(float).fillna(0.0)
    for name in TEXTS:
        made[name] = frame[name].map(codes[name]).fillna(-1)
    made["bed_bath_ratio"] = made["bed"] / made["bath"].clip(lower=1)
    made["sqft_per_acre"] = made["house_size"] / made["acre_lot"].clip(lower=0.01)
    return made


def _original() -> FastAPI:
    app = FastAPI()
    if folder := os.environ.get(FOREST):
        pipeline = joblib.load(Path(folder) / "forest.joblib")
        codes = pd.read_json(Path(folder) / "codes.json", typ="series").to_dict()

        @app.post("/predict")
        def predict(home: Home) -> dict[str, Any]:
            frame = features(pd.DataFrame([home.model_dump()]), codes)
            return {"price": float(pipeline.predict(frame)[0])}

    return app


async def _echo(request: Request) -> JSONResponse:
    return JSONResponse(await request.json())


original = _original()
starlette_echo = Starlette(routes=[Route("/predict", _echo, methods=["POST"])])


@bentoml.service(name="echo")
class BentoEcho:
    """A BentoML service with its default settings."""

    @bentoml.api(route="/predict")
    async def predict(self, home: Home, /) -> Home:
        """The home itself."""
        return home
