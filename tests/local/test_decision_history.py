"""What `realtor train` tells of the decisions that were made meanwhile."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from realtor_assets.clean.load_decisions import admit_batch
from realtor_assets.resources import Database
from realtor_assets.schema import migrate
from realtor_local.decision_history import Rows, print_new_decisions, read_history

pytestmark = [pytest.mark.integration]


def news(before: dict[str, Rows], after: dict[str, Rows]) -> str:
    console = Console(file=io.StringIO(), width=1000)
    print_new_decisions(before, after, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_new_decisions_print_once_and_held_batches_until_admitted(
    databases: Callable[[], Database],
) -> None:
    raw, clean = databases(), databases()
    migrate(raw.url, "raw")
    migrate(clean.url, "clean")

    def decide(load: int, decision: str, rule: str) -> None:
        with clean.transaction() as connection:
            connection.execute(
                "INSERT INTO retrain_decisions (load_id, partition_key, batches, decision, rule,"
                " reason, figures) VALUES (%s, %s, %s, %s, %s, 'because', '{}')",
                [load, f"batch-{load}", [load], decision, rule],
            )

    decide(1, "train", "first model")
    began = read_history(raw.url, clean.url)
    decide(2, "hold", "suspect data")
    held = read_history(raw.url, clean.url)
    admit_batch(clean, "batch-2", approver="ana", rationale="looked at it")
    admitted = read_history(raw.url, clean.url)

    first, then = news(began, held).splitlines()
    assert first == "batch-2: hold (suspect data). because"
    assert then.startswith("Held back as suspect: batch-2.")
    assert news(held, held).splitlines() == [then]
    assert news(held, admitted) == ""
