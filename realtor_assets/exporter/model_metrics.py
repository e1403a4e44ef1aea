"""Metrics of the newest model versions, from the published history."""

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

from prometheus_client.metrics_core import Metric

from realtor_assets.exporter.families import gauge
from realtor_assets.resources import ObjectStore
from realtor_model.registry_names import HISTORY_KEY

NEWEST = 8


class Models:
    """Reads the published history in the object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def __call__(self) -> Iterator[Metric]:
        """The metrics; none before the first history is published."""
        try:
            with self._store.open(HISTORY_KEY) as file:
                history: dict[str, Any] = json.load(file)
        except FileNotFoundError:
            return
        newest = history["versions"][-NEWEST:]
        versions = newest + [
            each
            for each in history["versions"]
            if each["version"] == history["champion"] and each not in newest
        ]
        yield gauge(
            "realtor_history_published_timestamp_seconds",
            "When the history that the app shows was published.",
            (),
            [((), dt.datetime.fromisoformat(history["published_at"]))],
        )
        yield gauge(
            "realtor_model_trained_timestamp_seconds",
            "When a version was trained, of which candidate; its stage when this was published.",
            ("version", "candidate", "stage"),
            [
                (
                    (each["version"], each["candidate"] or "", each["stage"]),
                    dt.datetime.fromisoformat(each["trained_at"]),
                )
                for each in versions
            ],
        )
        yield gauge(
            "realtor_model_train_rows",
            "Rows that a version was trained on.",
            ("version",),
            [((each["version"],), each["train_rows"]) for each in versions],
        )
        yield gauge(
            "realtor_model_test_figure",
            "Figures of a version on the test split when it was judged; versions were judged on "
            "different splits: who is better, the duel says.",
            ("version", "figure"),
            [
                ((each["version"], name), value)
                for each in versions
                for name, value in each["test"].items()
            ],
        )
