"""The stand-in upstream over real HTTP: protocol, cursors, faults, restarts."""

import json
import signal
import subprocess
import sys
import threading
import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from realtor_local.ports import free_port
from realtor_local.synthetic_market import COLUMNS, generate
from realtor_local.upstream.__main__ import main
from realtor_local.upstream.api import build_app
from realtor_local.upstream.faults import Fault
from realtor_local.upstream.group_cursors import StateError
from realtor_local.upstream.served_listings import (
    CHUNK_ROWS,
    UpstreamDataError,
    check_file,
    cut,
    cut_market,
    json_rows,
    read_file,
)
from realtor_model.listing import US_LISTINGS
from realtor_model.reading.received_batch import check
from tests.markets import PORTO, porto
from tests.servers import listening

pytestmark = pytest.mark.integration

ROWS = 4_000
END = {"detail": "Ya se recolectó toda la información mínima necesaria"}


@pytest.fixture(scope="module")
def listings() -> pd.DataFrame:
    return generate(ROWS, seed=5).listings


@pytest.fixture(scope="module")
def expected(listings: pd.DataFrame) -> list[list[dict[str, Any]]]:
    """The six batches, from the documented filters applied row by row."""
    batches: list[list[dict[str, Any]]] = [[] for _ in range(6)]
    for row in listings.dropna().to_dict("records"):
        price, status = row["price"], row["status"]
        if price > 500_000:
            number = 5
        elif price > 300_000:
            number = 4
        elif row["state"] == "Massachusetts":
            number = 3
        elif status == "sold":
            number = 2
        else:
            number = 0 if row["house_size"] > 1500 else 1
        batches[number].append({str(key): value for key, value in row.items()})
    return batches


@contextmanager
def serve(app: Starlette) -> Iterator[httpx.Client]:
    """The app on a free port of a real server; yields a client."""
    with (
        listening(app) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=30) as client,
    ):
        yield client


@pytest.fixture
def api(listings: pd.DataFrame) -> Iterator[httpx.Client]:
    with serve(build_app(lambda: listings)) as client:
        yield client


def next_batch(client: httpx.Client, group: int = 1, **parameters: str) -> httpx.Response:
    return client.get("/data", params={"group_number": str(group), **parameters})


def faulty(listings: pd.DataFrame, *faults: str) -> Starlette:
    return build_app(lambda: listings, faults=[Fault.parse(text) for text in faults])


def test_every_complete_row_comes_once_in_six_batches_and_then_no_more(
    api: httpx.Client, expected: list[list[dict[str, Any]]]
) -> None:
    assert api.get("/health").json() == {"status": "OK"}
    for number in range(6):
        answer = next_batch(api)
        assert answer.status_code == 200
        body = answer.json()
        assert list(body) == ["group_number", "batch_number", "data"]
        assert (body["group_number"], body["batch_number"]) == (1, number)
        assert body["data"] == expected[number]
    for _ in range(2):
        assert next_batch(api).status_code == 400
        assert next_batch(api).json() == END


def test_rows_are_written_as_the_real_api_writes_them(api: httpx.Client) -> None:
    answer = next_batch(api)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["transfer-encoding"] == "chunked"
    row = json.loads(answer.text, parse_float=str, parse_int=str)["data"][0]
    assert tuple(row) == COLUMNS
    for name in ("brokered_by", "price", "bed", "street", "zip_code", "house_size"):
        assert row[name].endswith(".0")


def test_restart_rewinds_one_group_only(api: httpx.Client) -> None:
    first = next_batch(api, 1).content
    next_batch(api, 2)
    answer = api.get("/restart_data_generation", params={"group_number": "1"})
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert next_batch(api, 1).content == first
    assert next_batch(api, 2).json()["batch_number"] == 1


def test_days_have_cursors_of_their_own(listings: pd.DataFrame) -> None:
    with serve(build_app(lambda: listings, require_day=True)) as client:
        assert next_batch(client).status_code == 422
        body = next_batch(client, day="Tuesday").json()
        assert list(body) == ["group_number", "day", "batch_number", "data"]
        assert body["day"] == "Tuesday"
        assert next_batch(client, day="Tuesday").json()["batch_number"] == 1
        assert next_batch(client, day="Wednesday").json()["batch_number"] == 0


@pytest.mark.parametrize(
    ("query", "kind", "where"),
    [
        ("", "missing", "group_number"),
        ("group_number=", "int_parsing", "group_number"),
        ("group_number=ten", "int_parsing", "group_number"),
        ("group_number=0", "greater_than_equal", "group_number"),
        ("group_number=11", "less_than_equal", "group_number"),
        ("group_number=1&day=Sunday", "literal_error", "day"),
    ],
)
def test_bad_parameters_are_422_and_move_nothing(
    api: httpx.Client, query: str, kind: str, where: str
) -> None:
    for path in ("/data", "/restart_data_generation"):
        answer = api.get(f"{path}?{query}")
        assert answer.status_code == 422
        (problem,) = answer.json()["detail"]
        assert (problem["type"], problem["loc"]) == (kind, ["query", where])
        assert "msg" in problem
        assert "input" in problem
    assert next_batch(api).json()["batch_number"] == 0


def test_what_is_not_the_api_uses_up_no_batch(api: httpx.Client) -> None:
    assert api.head("/data?group_number=1").status_code == 405
    assert api.post("/data?group_number=1").status_code == 405
    missing = api.get("/nothing")
    assert (missing.status_code, missing.json()) == (404, {"detail": "Not Found"})
    assert next_batch(api).json()["batch_number"] == 0


def test_health_answers_while_the_listings_are_made(listings: pd.DataFrame) -> None:
    made = threading.Event()

    def slow_source() -> pd.DataFrame:
        made.wait(30)
        return listings

    with serve(build_app(slow_source)) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.get("/data", params={"group_number": "1"}, timeout=0.3)
        assert client.get("/health", timeout=5).status_code == 200
        made.set()
        assert next_batch(client).status_code == 200


def test_listings_that_cannot_be_had_are_a_500_with_the_reason() -> None:
    def no_source() -> pd.DataFrame:
        raise OSError("the disk is gone")

    with serve(build_app(no_source)) as client:
        answer = next_batch(client)
        assert answer.status_code == 500
        assert "the disk is gone" in answer.json()["detail"]
        assert client.get("/health").status_code == 200


# ---------------------------------------------------------------------------- faults


def test_a_slow_answer_comes_late_and_whole(listings: pd.DataFrame) -> None:
    with serve(faulty(listings, "slow@0:0.6")) as client:
        started = time.monotonic()
        assert next_batch(client).json()["batch_number"] == 0
        assert time.monotonic() - started >= 0.6


def test_a_500_moves_nothing_and_happens_once(listings: pd.DataFrame) -> None:
    with serve(faulty(listings, "http500@1", "http500@1")) as client:
        assert next_batch(client).status_code == 200
        assert [next_batch(client).status_code for _ in range(2)] == [500, 500]
        assert next_batch(client).json()["batch_number"] == 1


def test_a_truncated_answer_is_well_formed_http_and_broken_json(listings: pd.DataFrame) -> None:
    with serve(faulty(listings, "truncated@0")) as client:
        answer = next_batch(client)
        assert answer.status_code == 200
        assert answer.text.startswith('{"group_number":1,"batch_number":0,"data":[{')
        with pytest.raises(json.JSONDecodeError):
            answer.json()
        assert next_batch(client).json()["batch_number"] == 1, "the cursor moved at the call"


def test_an_aborted_answer_breaks_the_connection(listings: pd.DataFrame) -> None:
    with serve(faulty(listings, "aborted@0")) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            next_batch(client)
        assert next_batch(client).json()["batch_number"] == 1


def test_a_repeated_batch_comes_twice(listings: pd.DataFrame) -> None:
    with serve(faulty(listings, "repeated@1")) as client:
        batches = [next_batch(client) for _ in range(4)]
        assert [batch.json()["batch_number"] for batch in batches] == [0, 1, 1, 2]
        assert batches[1].content == batches[2].content


def test_a_changed_schema(listings: pd.DataFrame, expected: list[list[dict[str, Any]]]) -> None:
    with serve(faulty(listings, "renamed@0", "text@1")) as client:
        renamed = next_batch(client).json()["data"]
        prices = [row["price"] for row in expected[0]]
        assert [row.pop("amount") for row in renamed] == prices
        assert all("price" not in row for row in renamed)
        texts = [row["price"] for row in next_batch(client).json()["data"]]
        assert texts == [f"about ${row['price']:,.0f}" for row in expected[1]]
        assert next_batch(client).json()["data"] == expected[2]


def test_the_end_may_be_a_404(listings: pd.DataFrame) -> None:
    with serve(faulty(listings, "end404@6")) as client:
        for _ in range(6):
            next_batch(client)
        end = next_batch(client)
        assert (end.status_code, end.json()) == (404, END)
        assert next_batch(client).status_code == 400


@pytest.mark.parametrize("text", ["", "slow", "slow@", "slow@-1", "fire@0", "slow@0:", "slow@0:x"])
def test_faults_that_are_not_one(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="kind@batch"):
        Fault.parse(text)


# ---------------------------------------------------------------------------- data and state


texts = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(texts, st.integers(-(10**9), 10**9)), max_size=20))
def test_json_rows_keep_every_value(rows: list[tuple[str, int]]) -> None:
    frame = pd.DataFrame(
        {"city": [text for text, _ in rows], "acre_lot": [number / 100 for _, number in rows]}
    )
    parsed = json.loads(f"[{''.join(json_rows(frame))}]")
    assert parsed == frame.to_dict("records")


def test_json_rows_join_their_pieces() -> None:
    frame = pd.DataFrame({"price": [float(n) for n in range(2 * CHUNK_ROWS + 1)]})
    pieces = list(json_rows(frame))
    assert len(pieces) == 3
    assert json.loads(f"[{''.join(pieces)}]") == frame.to_dict("records")


def test_a_complete_csv_can_be_cut_like_the_synthetic_market(
    listings: pd.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "listings.csv"
    listings.assign(extra="x").to_csv(path, index=False)
    with run("--csv", str(path), "--batches", "six") as (_, client):
        for batch in cut(listings):
            assert next_batch(client).json()["data"] == batch.to_dict("records")
        assert next_batch(client).json() == END


def test_six_batches_need_the_twelve_columns(listings: pd.DataFrame) -> None:
    for other in (listings.drop(columns="bed"), listings.assign(price="cheap")):
        with pytest.raises(UpstreamDataError, match="need the 12 columns"):
            cut(other)


def test_an_incomplete_file_is_served_whole(tmp_path: Path) -> None:
    path = tmp_path / "listings.csv"
    # As a public slice: only the first listing has a value in every column.
    lines = [f"{n},for_sale,{180_000 + n},,2,,{n},Columbus,Ohio,43201,," for n in range(1, 400)]
    lines.insert(0, "9,for_sale,200000,3,2,0.1,7,Columbus,Ohio,43215,900,2020-01-02")
    path.write_text("\n".join([",".join(COLUMNS), *lines]))
    with run("--csv", str(path)) as (_, client):
        served = client.get("/listings").json()
        data = next_batch(client).json()["data"]
        assert next_batch(client).json() == END

    assert served == {"batches": [400], "left_out": {}, "unused": [], "notes": []}
    assert [row["price"] for row in data] == [200_000, *(180_000 + n for n in range(1, 400))]
    assert data[1]["bed"] is None
    valid, broken = check(pd.DataFrame(data))
    assert (len(valid), len(broken)) == (400, 0)


OLDER = ("status", "bed", "bath", "acre_lot", "city", "state", "zip_code", "house_size",
         "prev_sold_date", "price")  # fmt: skip


def test_the_older_schema_without_broker_and_street_is_served(
    listings: pd.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "listings.csv"
    older = listings[list(OLDER)]
    older.to_csv(path, index=False)

    served = read_file(path, US_LISTINGS).listings

    assert tuple(served) == OLDER
    valid, broken = check(pd.DataFrame(json.loads(f"[{''.join(json_rows(served))}]")))
    assert len(valid) + len(broken) == len(listings)
    assert valid["brokered_by"].isna().all()
    assert valid["street"].nunique() > 0.9 * len(valid)


def test_rows_that_cannot_be_served_are_counted_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "homes.csv"
    path.write_bytes(
        "Precio;Baños;Estado;Área construida;nota\n1;2;Texas;1500;a\n2;2;Texas;1500;b;c;d\n"
        "3;2;Texas;900;a\n".encode("cp1252")
    )
    market = tmp_path / "market.toml"
    market.write_text('[columns.price]\nheaders = ["precio"]\n')
    with run("--csv", str(path), "--market", str(market)) as (_, client):
        served = client.get("/listings").json()

    assert served["batches"] == [2]
    assert served["left_out"] == {"rows with more or fewer cells than the header": 1}
    assert served["unused"] == ["nota"]
    assert any("cp1252" in note for note in served["notes"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no column for price, state or zip_code, .* The headers are a, b"),
        ("price,state\n1,Texas\n", "no column for house_size or acre_lot or bed"),
        (",".join(COLUMNS), "there are no rows"),
        ("", "the file is empty"),
    ],
)
def test_a_file_that_cannot_be_served(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "listings.csv"
    path.write_text(text)
    with pytest.raises(UpstreamDataError, match=message):
        check_file(path, US_LISTINGS)


SALES = (
    "Cadastre,status,valor,parish,lat,lon,rooms,baths,area_util,plot,deed_date,Ano,energy,architect,"
    "lift,renovated,note\n"
    "U-1,deed signed,250000,Ribeira,41.15,-8.61,2,1.5,80,100.25,2024-05-01,1975,C,7,1,,x\n"
    "U-2,on offer,cheap,,41.16,-8.62,,,75,,,unknown,,Siza,no,2001-01-01,y\n"
)


def test_the_file_of_a_market_is_served_whole_under_its_own_headers(tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_text(SALES)
    (tmp_path / "porto.toml").write_text(PORTO)
    market = ("--market", str(tmp_path / "porto.toml"))
    with run("--csv", str(path), *market) as (_, client):
        first, second = next_batch(client).json()["data"]
        assert next_batch(client).json() == END

    assert list(first) == SALES.partition(",note")[0].split(",")
    assert (first["Cadastre"], first["lat"], first["area_util"]) == ("U-1", 41.15, 80.0)
    assert (first["renovated"], first["lift"], first["Ano"]) == (None, "1", "1975")
    assert (second["valor"], second["parish"], second["rooms"]) == ("cheap", None, None)
    valid, broken = check(pd.DataFrame([first, second]), porto(tmp_path))
    assert valid["price"].tolist() == [250_000.0]
    assert valid["house_size"].tolist() == [80]
    assert broken["column_name"].tolist() == ["preco"]


def test_a_file_that_is_not_of_the_market(tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_text("valor,bed\n1,2\n")
    with pytest.raises(UpstreamDataError, match="no column for lat or lon"):
        check_file(path, porto(tmp_path))


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(1, 15))
def test_a_market_is_cut_into_even_batches_without_loss(rows: int, most: int) -> None:
    listings = pd.DataFrame({"id": range(rows)})
    batches = cut_market(listings, most)
    sizes = [len(batch) for batch in batches]
    assert sorted(pd.concat(batches)["id"]) == list(range(rows))
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert all(batch["id"].is_monotonic_increasing for batch in batches)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"next_batch": {"1": 2}}'])
def test_a_state_file_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(StateError, match="delete it"):
        build_app(pd.DataFrame, state=path)


def test_the_command_says_what_is_wrong_before_it_serves(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"nowhere\.csv"):
        main(["--port", "1", "--csv", str(tmp_path / "nowhere.csv")])
    with pytest.raises(SystemExit, match="folder of the state file"):
        main(["--port", "1", "--rows", "10", "--state", str(tmp_path / "no" / "state.json")])
    (tmp_path / "market.toml").write_text("[columns.bed]\nrange = [9, 1]\n")
    files = ["--csv", str(tmp_path / "nowhere.csv"), "--market", str(tmp_path / "market.toml")]
    with pytest.raises(SystemExit, match=r"\[columns\.bed\] range"):
        main(["--port", "1", *files])


@contextmanager
def run(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """`python -m realtor_local.upstream` on a free port, once it answers."""
    port = free_port()
    command = [sys.executable, "-m", "realtor_local.upstream", "--port", str(port), *arguments]
    process = subprocess.Popen(command)
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60
        ) as client:
            wait_for(lambda: client.get("/health").status_code == 200, process)
            yield process, client
    finally:
        process.terminate()
        assert process.wait(20) in (0, -signal.SIGKILL, -signal.SIGTERM)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            if condition():
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


def numbers(client: httpx.Client, groups: Sequence[int]) -> list[int]:
    return [next_batch(client, group).json()["batch_number"] for group in groups]


def test_cursors_outlive_a_kill_but_not_other_listings(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "state.json"))
    with run("--rows", "1000", *state) as (process, client):
        assert numbers(client, [1, 1, 2]) == [0, 1, 0]
        process.kill()
        process.wait()
    with run("--rows", "1000", *state) as (_, client):
        assert numbers(client, [1, 2, 3]) == [2, 1, 0]
    with run("--rows", "1000", "--seed", "1", *state) as (_, client):
        assert numbers(client, [1]) == [0]
