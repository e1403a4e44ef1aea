"""Retrain decisions that are made without scoring the champion."""

import datetime as dt
from dataclasses import replace

import pytest

from realtor_assets.clean.load_decisions import Load, all_loads
from realtor_assets.clean.retrain_decision import decide
from realtor_assets.raw.loading import load_payload
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.resources.registered_models import Champion
from realtor_model.listing import US_LISTINGS
from realtor_model.messages import message
from tests.assets.conftest import land, listing
from tests.serving.running import make_model

LOAD = Load(
    load_id=7,
    partition_key="group-1-batch-004-0123abcd",
    group_number=1,
    batch_number=4,
    state="loaded",
    error=None,
    received=100,
    inserted=80,
    to_learn_from=70,
    loaded_at=dt.datetime(2026, 11, 24, tzinfo=dt.UTC),
)
NO_DATABASE = Database(url="postgresql://nowhere")


def test_the_first_batch_trains_the_first_model() -> None:
    decision = decide(LOAD, None, [LOAD], NO_DATABASE, admitted=False)

    assert (decision.decision, decision.rule) == ("train", "first model")
    assert "batch 4" in decision.reason


@pytest.mark.parametrize("has_champion", [False, True])
@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        ({"inserted": 0}, "nothing new", "Batch 4 brings nothing new: each of its rows is in RAW"),
        (
            {"state": "refused", "error": "columns are missing: price", "inserted": 0},
            "refused",
            "is not in RAW: columns are missing: price",
        ),
    ],
)
def test_a_load_without_new_rows_is_skipped(
    has_champion: bool, change: dict[str, object], rule: str, words: str
) -> None:
    champion = Champion("1", make_model()) if has_champion else None
    load = replace(LOAD, **change)  # type: ignore[arg-type]

    decision = decide(load, champion, [load], NO_DATABASE, admitted=False)

    assert (decision.decision, decision.rule) == ("skip", rule)
    assert words in decision.reason


def test_a_load_the_champion_was_trained_on_is_skipped() -> None:
    model = make_model()
    model = replace(model, metadata=model.metadata | {"loads": [6, 7]})

    decision = decide(LOAD, Champion("1", model), [LOAD], NO_DATABASE, admitted=False)

    assert (decision.decision, decision.rule) == ("skip", "known to the champion")


def test_a_champion_that_cannot_be_read_is_a_reason_to_train() -> None:
    unreadable = message("champion_unreadable", version="1", problem="it has features 1")
    champion = Champion("1", None, unreadable)

    decision = decide(LOAD, champion, [LOAD], NO_DATABASE, admitted=False)
    nothing = decide(replace(LOAD, inserted=0), champion, [], NO_DATABASE, admitted=False)

    assert (decision.decision, decision.rule) == ("train", "champion unreadable")
    assert decision.details == [unreadable.to_dict()]
    assert decision.figures == {"version": "1", "problem": "it has features 1"}
    assert (nothing.decision, nothing.rule) == ("skip", "nothing new")


def test_a_file_is_named_by_its_partition() -> None:
    assert LOAD.name == "4"
    assert replace(LOAD, group_number=0, partition_key="file-000-ab").name == "file-000-ab"
    assert replace(LOAD, batch_number=None).name == LOAD.partition_key


def test_a_batch_with_prices_outside_the_range_is_skipped(
    store: ObjectStore, raw_database: Database
) -> None:
    rents = [listing(street=float(i), price=1_200.0 + i) for i in range(40)]
    payload = land(store, raw_database, rents, batch=4)
    with raw_database.transaction() as connection:
        load_payload(
            store,
            connection,
            payload,
            contract=US_LISTINGS,
            max_broken_share=0.2,
            progress=lambda _: None,
        )
        (load,) = all_loads(connection)
    model = make_model()
    origin = {"loads": [], "trained_at": "2026-11-24T00:00:00+00:00"}
    model = replace(model, metadata=model.metadata | origin)

    decision = decide(load, Champion("1", model), [], raw_database, admitted=False)

    assert (decision.decision, decision.rule) == ("skip", "outside the domain")
    assert "none of its 40 new rows has a price from $10,000 to $10,000,000." in decision.reason
