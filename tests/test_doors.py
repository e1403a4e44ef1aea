"""One reader: a home is valued to the cent alike at every door, however it is written.

The doors are `POST /predict`, `POST /predict-batch` with JSON and with tables, `realtor score`,
MLflow's pyfunc, and the app's uploads.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import mlflow.pyfunc
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtor_assets.resources.mlflow_tracking import BUNDLE_ARTIFACT
from realtor_assets.train import mlflow_model
from realtor_assets.train.mlflow_model import signature
from realtor_model.listing import US_LISTINGS
from realtor_model.reading import write_table
from realtor_model.valuation.bundle import load_bundle, save_bundle
from realtor_model.valuation.valuation_model import ValuationModel
from realtor_serving.offline.score_table import score_file
from realtor_ui.client import ServiceClient
from realtor_ui.uploads.upload import Upload
from realtor_ui.uploads.valuing import value_homes
from tests.model.reading.workbooks import xlsx
from tests.serving.running import Server, make_model, run_service

pytestmark = [pytest.mark.integration]

Rows = Sequence[dict[str, Any]]
PLAIN = {
    "state": "Texas", "city": "Houston", "zip_code": "77002", "bed": 3, "bath": 2.5,
    "house_size": 1800, "acre_lot": 0.25, "prev_sold_date": "2019-06-28",
}  # fmt: skip


class Doors:
    """A service, and a folder, with one model."""

    def __init__(self, service: Server, model: ValuationModel, pyfunc: Any, folder: Path) -> None:
        self.service = service
        self.model = model
        self.pyfunc = pyfunc
        self.folder = folder

    def predict(self, rows: Rows) -> list[float | None]:
        """`POST /predict` for each row."""
        answers = [self.service.post("/predict", row).json() for row in rows]
        return [answer.get("price") for answer in answers]

    def batch(self, rows: Rows) -> list[float | None]:
        """`POST /predict-batch` with JSON."""
        answer = self.service.post("/predict-batch", {"properties": list(rows)}).json()
        return [
            None if row["valuation"] is None else row["valuation"]["price"]
            for row in answer["results"]
        ]

    def table(self, content: bytes, kind: str) -> list[float | None]:
        """`POST /predict-batch` with a table."""
        headers = {"Content-Type": kind, "Accept": "application/json"}
        answer = httpx.post(
            f"{self.service.url}/predict-batch", content=content, headers=headers, timeout=60
        )
        assert answer.status_code == 200, answer.text
        return [
            None if row["valuation"] is None else row["valuation"]["price"]
            for row in answer.json()["results"]
        ]

    def score(self, content: bytes, suffix: str) -> list[float | None]:
        """`realtor score` of a file."""
        (self.folder / f"in{suffix}").write_bytes(content)
        score_file(self.folder / f"in{suffix}", self.folder / "out.parquet", self.model)
        prices = pd.read_parquet(self.folder / "out.parquet")["estimated_price"]
        return [None if price != price else price for price in prices]

    def app(self, content: bytes) -> list[float | None]:
        """The app's page for files, without its widgets."""
        client = ServiceClient(self.service.url)
        info = client.model_info()
        upload = Upload("homes", content)
        upload.opened(US_LISTINGS, 1_000)
        valuation = upload.valuation(info, upload.understood(info, US_LISTINGS))
        for progress in value_homes(valuation.understanding, client.predict_table):
            valuation.parts.append(progress.estimates)
            valuation.done = progress.done
        prices: list[float | None] = valuation.estimates["estimated_price"].to_pylist()
        return prices

    def frame(self, frame: pd.DataFrame) -> list[float | None]:
        """The registered model of MLflow."""
        prices = self.pyfunc.predict(frame)["price"].round(2)
        return [None if price != price else price for price in prices]


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("doors")
    save_bundle(make_model(), folder / "bundle")
    mlflow.pyfunc.save_model(
        str(folder / "model"),
        python_model=str(Path(mlflow_model.__file__).with_name("pyfunc_model.py")),
        artifacts={BUNDLE_ARTIFACT: str(folder / "bundle")},
        signature=signature(),
        pip_requirements=[],
    )
    pyfunc = mlflow.pyfunc.load_model(str(folder / "model"))
    variables = {
        "REALTOR_CHAMPION_BUNDLE": str(folder / "bundle"),
        "REALTOR_SERVICE_WORKERS": "1",
    }
    with run_service(folder, **variables) as service:
        yield Doors(service, load_bundle(folder / "bundle"), pyfunc, folder)


def text_file(
    rows: Rows, delimiter: str = ",", encoding: str = "utf-8", title: str = "", end: str = ""
) -> bytes:
    """A text file of the rows; `end` comes behind each line."""
    lines = io.StringIO()
    writer = csv.writer(lines, delimiter=delimiter, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    text = lines.getvalue().replace("\n", f"{end}\n")
    return (title + text).encode(encoding)


def workbook(rows: Rows) -> bytes:
    """A workbook with the texts of the rows."""
    return xlsx({"Homes": [list(rows[0]), *(list(row.values()) for row in rows)]})


def arrow(rows: Rows, kind: str) -> bytes:
    """A table of the rows, as Polars writes texts."""
    names = list(rows[0])
    views = [pa.array([row[name] for row in rows], pa.string_view()) for name in names]
    columns = [
        pa.DictionaryArray.from_arrays(pa.array(range(len(rows)), pa.uint32()), column)
        if position % 2 and kind == "arrow"
        else column
        for position, column in enumerate(views)
    ]
    table = pa.table(columns, names=names)
    sink = io.BytesIO()
    write_table(table.to_batches(), table.schema, sink, kind)
    return sink.getvalue()


CSV, PARQUET, ARROW = (
    "text/csv", "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream",
)  # fmt: skip
# ---- the shapes of public files ------------------------------------------------------------------

LOTS = {"acre_lot": "0.12"}
TEXTS = {
    "state": "Texas", "city": "Houston", "zip_code": "77002", "bed": "3", "bath": "2",
    "house_size": "1800",
}  # fmt: skip
SHAPES: dict[str, tuple[bytes, str, list[dict[str, Any] | None]]] = {
    "rows end in a comma": (
        text_file([TEXTS] * 3).replace(b"1800\n", b"1800,\n"), ".csv", [TEXTS] * 3
    ),
    "all lines end in commas": (text_file([TEXTS] * 3, end=",,"), ".csv", [TEXTS] * 3),
    "blanks after commas": (
        text_file([TEXTS] * 3).replace(b",", b", "), ".csv", [TEXTS] * 3
    ),
    "semicolons and decimal commas": (
        text_file([TEXTS | {"acre_lot": "0,12"}] * 2, ";"), ".csv", [TEXTS | LOTS] * 2
    ),
    "tabs": (text_file([TEXTS] * 2, "\t"), ".tsv", [TEXTS] * 2),
    "cp1252": (
        text_file([TEXTS | {"notes": "caf\xe9"}] * 2, encoding="cp1252"), ".csv", [TEXTS] * 2
    ),
    "UTF-16": (text_file([TEXTS] * 2, "\t", "utf-16"), ".csv", [TEXTS] * 2),
    "title lines": (
        text_file([TEXTS] * 2, title="Homes,,,\nExported 2026-11-20,,,\n,,,\n"), ".csv",
        [TEXTS] * 2,
    ),
    "R's NA": (
        text_file([TEXTS | {"city": "NA", "bath": "NA"}]), ".csv",
        [TEXTS | {"city": None, "bath": None}],
    ),
    "money and units": (
        text_file([
            {"state": "Texas", "zip_code": "77002", "bed": "3 bd", "bath": "2.5 ba",
             "house_size": "1,800 sq ft", "acre_lot": "5,227.2 sqft", "price": "$350,000"},
            {"state": "Texas", "zip_code": "77002", "bed": "3", "bath": "2.5",
             "house_size": "214 m\xb2", "acre_lot": "0.12 ac", "price": "$350,000"},
        ]), ".csv",
        [
            {"state": "Texas", "zip_code": "77002", "bed": 3, "bath": 2.5, "house_size": size,
             "acre_lot": 0.12}
            for size in (1800, 2303)
        ],
    ),
    "half baths, studios and no baths": (
        text_file([TEXTS | {"bath": bath, "bed": bed}
                   for bath, bed in (("2.5", "3"), ("1", "0"), ("1.75", "2"), ("0", "3"))]), ".csv",
        [TEXTS | {"bath": bath, "bed": bed}
         for bath, bed in ((2.5, 3), (1, 0), (1.75, 2), (None, 3))],
    ),
    "states in all spellings": (
        text_file([TEXTS | {"state": state, "city": city} for state, city in (
            ("TX", "HOUSTON"), ("Tex.", " Houston "), ("US-TX", "houston"), ("texas", "Houston"))]),
        ".csv", [TEXTS] * 4,
    ),
    "dates": (
        text_file([TEXTS | {"prev_sold_date": date} for date in (
            "6/28/2019", "2019-06-28T00:00:00Z", "March-15-2022", "43644", "2/30/2021")]),
        ".csv", [TEXTS] * 5,
    ),
    "words for the status": (
        text_file([TEXTS | {"status": word} for word in ("Sold", "FOR SALE", "unlisted")]), ".csv",
        [TEXTS] * 3,
    ),
    "a download of an agency": (
        text_file([{
            "SALE TYPE": "PAST SALE", "SOLD DATE": "March-15-2022", "PROPERTY TYPE": "House",
            "ADDRESS": "12 Sample St", "CITY": "Houston", "STATE OR PROVINCE": "TX",
            "ZIP OR POSTAL CODE": "77002", "PRICE": "421000", "BEDS": "3", "BATHS": "2.5",
            "SQUARE FEET": "1800", "LOT SIZE": "5227.2", "$/SQUARE FEET": "234", "STATUS": "Sold",
        }]), ".csv", [TEXTS | LOTS | {"bath": 2.5}],
    ),
    "a listing scraper": (
        text_file([{
            "property_url": "x", "status": "SOLD", "street": "12 Sample St", "city": "Houston",
            "state": "TX", "zip_code": "77002", "beds": "3", "full_baths": "2", "half_baths": half,
            "sqft": "1800", "sold_price": "421000", "lot_sqft": "5227.2",
        } for half in ("1", "")]), ".csv", [TEXTS | LOTS | {"bath": bath} for bath in (2.5, 2)],
    ),
    "an assessor": (
        text_file([
            {"APN": "001-22", "SitusCity": "Houston", "SitusState": "TX", "SitusZip5": "77002",
             "BedroomsTotal": "3", "BathroomsTotalInteger": "2", "GLA (sq ft)": "1800",
             "LotSizeAcres": acres, "LotSizeSquareFeet": feet}
            for acres, feet in (("", "5227.2"), ("0.12", ""))
        ]), ".csv", [TEXTS | LOTS] * 2,
    ),
    "an index and a row of totals": (
        text_file([{"": "0", **TEXTS}, {"": "1", **TEXTS},
                   {"": "Total", **dict.fromkeys(TEXTS, ""), "bed": "6"}]), ".csv",
        [TEXTS, TEXTS, None],
    ),
    "a workbook": (workbook([TEXTS] * 2), ".xlsx", [TEXTS] * 2),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_public_shape_is_read_alike_at_every_door(doors: Doors, shape: str) -> None:
    content, suffix, homes = SHAPES[shape]
    expected = [
        None if home is None else doors.service.post("/predict", home).json()["price"]
        for home in homes
    ]

    assert doors.score(content, suffix) == expected
    assert doors.app(content) == expected
    if suffix != ".xlsx":
        assert doors.table(content, CSV) == expected


def test_repeated_header_of_the_market_is_refused_at_every_door(doors: Doors) -> None:
    content = text_file([TEXTS]).replace(b"bath", b"bed")

    answer = httpx.post(
        f"{doors.service.url}/predict-batch", content=content, headers={"Content-Type": CSV}
    )
    assert answer.status_code == 400
    assert "two columns have the header bed" in answer.json()["error"]
    with pytest.raises(Exception, match="two columns have the header bed"):
        doors.score(content, ".csv")


# ---- any spelling --------------------------------------------------------------------------------

HEADERS: dict[str, list[str]] = {
    "state": ["state", "STATE OR PROVINCE", "SitusState", "Estado"],
    "city": ["city", "Town", "Ciudad", "SITUS CITY"],
    "zip_code": ["zip_code", "ZIP", "ZIP OR POSTAL CODE", "C\xf3digo postal"],
    "bed": ["bed", "Beds", "BedroomsTotal", "Rec\xe1maras"],
    "bath": ["bath", "BATHS", "Ba\xf1os", "BathroomsTotalDecimal"],
    "prev_sold_date": ["prev_sold_date", "SOLD DATE", "last_sold_date"],
}
PLACES: dict[str, list[str]] = {
    "state": ["Texas", "TX", "Tex.", "US-TX", "texas ", "TEXAS"],
    "city": ["Houston", "HOUSTON", "\N{NO-BREAK SPACE}Houston", "houston  "],
    "zip_code": ["77002", "77002-1234", "77002.0", " 77002"],
}
DATES = ["2019-06-28", "6/28/2019", "2019-06-28T00:00:00Z", "June 28, 2019", "43644", "28 jun 2019"]
NOTHING = ["", "NA", "N/A", "-", "null", "#N/A"]
SIZES: list[Callable[[str], dict[str, str]]] = [
    lambda comma: {"house_size": "1800"},
    lambda comma: {"sqft": "1.800" if comma == "," else "1,800"},
    lambda comma: {"SQUARE FEET": "1800 sq ft"},
    lambda comma: {"Superficie (m2)": "167,2" if comma == "," else "167.2"},
    lambda comma: {"living_area": "1 800 ft\xb2"},
]
LAND: list[Callable[[str], dict[str, str]]] = [
    lambda comma: {"acre_lot": f"0{comma}25"},
    lambda comma: {"acre_lot": f"0{comma}25 acres"},
    lambda comma: {"LotSizeSquareFeet": "10.890" if comma == "," else "10,890"},
    lambda comma: {"LOT SIZE": "10890"},
    lambda comma: {"Terreno": "10890 pies cuadrados"},
]
UNUSED = [{}, {"roof": "slate"}, {"YEAR BUILT": "1948", "HOA/MONTH": ""}]


@st.composite
def written_homes(draw: st.DrawFn) -> list[dict[str, str]]:
    """Rows of one file: the same home, in columns of any style."""
    comma = draw(st.sampled_from([".", ","]))
    header = {name: draw(st.sampled_from(spellings)) for name, spellings in HEADERS.items()}
    size, lot = draw(st.sampled_from(SIZES)), draw(st.sampled_from(LAND))
    unused, gap = draw(st.sampled_from(UNUSED)), draw(st.sampled_from(NOTHING))
    baths = [f"2{comma}5", f"2{comma}5 ba", "2\xbd"]
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        row = {header[name]: draw(st.sampled_from(words)) for name, words in PLACES.items()}
        row |= {header["bed"]: draw(st.sampled_from(["3", "3 bd", "3.0"]))}
        row |= {header["bath"]: draw(st.sampled_from(baths))} | size(comma) | lot(comma)
        row |= {header["prev_sold_date"]: draw(st.sampled_from([*DATES, gap]))} | unused
        rows.append({**row, "brokered_by": gap})
    return rows


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(rows=written_homes(), delimiter=st.sampled_from(",;\t|"),
       encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))  # fmt: skip
def test_home_in_any_spelling_has_the_plain_value_at_every_door(
    doors: Doors, rows: list[dict[str, str]], delimiter: str, encoding: str
) -> None:
    price = doors.service.post("/predict", PLAIN).json()["price"]
    expected = [price] * len(rows)
    text = text_file(rows, delimiter, encoding)

    assert doors.predict(rows) == expected
    assert doors.batch(rows) == expected
    assert doors.table(text, CSV) == expected
    assert doors.table(arrow(rows, "parquet"), PARQUET) == expected
    assert doors.table(arrow(rows, "arrow"), ARROW) == expected
    assert doors.score(text, ".csv") == expected
    assert doors.score(workbook(rows), ".xlsx") == expected
    assert doors.app(text) == expected
    assert doors.frame(pd.DataFrame(rows)) == expected
