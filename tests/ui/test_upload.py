"""Files of homes: read or refused with a reason, matched by name, valued in chunks."""

import io
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtor_model.listing import US_LISTINGS, home_model
from realtor_ui import upload
from realtor_ui.client import ServiceClient
from tests.serving.running import HOUSE, Server
from tests.ui.markets import EVERY_KIND, KING_COUNTY, model_info

INFO = model_info()
INPUTS = INFO.inputs

FRAME = pd.DataFrame(
    {"Estado": ["Texas", "Texas", None], "ZIP Code": ["77002", "00601", None],
     "Superficie (pies²)": ["1800", "-3", "900"], "note": ["=cmd()", "b", "c"]}
)  # fmt: skip


def xlsx(rows: list[list[object]]) -> bytes:
    """A workbook of one sheet, as Excel writes it."""

    def cell(value: object) -> str:
        if isinstance(value, int | float):
            return f"<c><v>{value}</v></c>"
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>'

    sheet = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
        'relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets>'
        '<sheet name="homes" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{relations}/worksheet" Target="worksheets/sheet1.xml"/>'
        "</Relationships>",
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{sheet}</sheetData>'
        "</worksheet>",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_csv_parquet_and_excel_files_are_read() -> None:
    csv = FRAME.to_csv(index=False).encode()
    semicolons = FRAME.to_csv(index=False, sep=";").encode("utf-8-sig")
    parquet = io.BytesIO()
    FRAME.to_parquet(parquet)
    for name, content in (("a.csv", csv), ("b.CSV", semicolons), ("c.parquet", parquet.getvalue())):
        read = upload.read_table(name, content)
        assert list(read.columns) == list(FRAME.columns)
        assert read["ZIP Code"].tolist()[:2] == ["77002", "00601"], "zips keep their zeros"
    book = upload.read_table("d.xlsx", xlsx([["state", "bed"], ["Texas", 3], ["Ohio", 2]]))
    assert book["state"].tolist() == ["Texas", "Ohio"]
    assert book["bed"].astype(int).tolist() == [3, 2]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.xlsx", "a.exe"])
def test_broken_file_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(upload.UnreadableFile) as caught:
        upload.read_table(name, b"\xff\xfe\x00nonsense\x00")
    assert caught.value.key == "many.why_format"


def test_file_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MAX_UNPACKED", 1_000)
    with pytest.raises(upload.UnreadableFile) as caught:
        upload.read_table("a.xlsx", xlsx([["state"] * 200]))
    assert caught.value.key == "many.why_large"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (list(INPUTS), {name: name for name in INPUTS}),
        (["Estado", "ZIP Code", "Superficie", "Dormitorios", "Baños"],
         {"state": "Estado", "zip_code": "ZIP Code", "house_size": "Superficie",
          "bed": "Dormitorios", "bath": "Baños", "city": None}),
        (["Zipcode", "SqFt", "Beds", "Bathrooms", "Lot Acres"],
         {"zip_code": "Zipcode", "house_size": "SqFt", "bed": "Beds", "bath": "Bathrooms",
          "acre_lot": "Lot Acres"}),
        (["price", "id"], {"state": None, "house_size": None}),
    ],
)  # fmt: skip
def test_columns_are_matched_by_name(columns: list[str], expected: dict[str, str | None]) -> None:
    matched = upload.match_columns(columns, INPUTS)
    assert {name: matched[name] for name in expected} == expected


# Matching takes tens of milliseconds: no deadline on a machine that is shared.
@settings(deadline=None)
@given(st.lists(st.text(max_size=12), max_size=14, unique=True))
def test_no_column_is_matched_twice(columns: list[str]) -> None:
    found = [
        column for column in upload.match_columns(columns, INPUTS).values() if column is not None
    ]
    assert len(found) == len(set(found))
    assert set(found) <= set(columns)


def test_missing_place_and_size_columns_are_reported() -> None:
    assert upload.missing_columns({}, INFO) == ["many.missing_place", "many.missing_size"]
    assert upload.missing_columns({"zip_code": "z"}, INFO) == ["many.missing_size"]
    assert upload.missing_columns({"zip_code": "z", "bed": "b"}, INFO) == []
    county = model_info(KING_COUNTY)
    only_latitude = {"lat": "a", "sqft_living": "b"}
    assert upload.missing_columns(only_latitude, county) == ["many.missing_place"]
    assert upload.missing_columns(only_latitude | {"long": "c"}, county) == []


# What the app knew of headers before markets declared them.
FORMER_HEADERS = {
    "state": ("state", "province", "estado", "st"),
    "city": ("city", "town", "municipality", "ciudad", "municipio"),
    "zip_code": ("zip_code", "zip", "zipcode", "postal_code", "postcode", "codigo_postal", "cp"),
    "house_size": ("house_size", "sqft", "living_area", "area", "square_feet", "size", "gla",
                   "superficie", "superficie_habitable", "area_construida", "pies_cuadrados",
                   "metros"),
    "acre_lot": ("acre_lot", "lot", "lot_size", "acres", "lot_acres", "land", "terreno", "lote",
                 "area_del_terreno"),
    "bed": ("bed", "beds", "bedrooms", "br", "dormitorios", "habitaciones", "recamaras"),
    "bath": ("bath", "baths", "bathrooms", "ba", "banos"),
    "status": ("status", "listing_status", "estado_del_anuncio"),
    "prev_sold_date": ("prev_sold_date", "last_sale", "sold_date", "last_sold", "sale_date",
                       "ultima_venta", "fecha_de_venta"),
    "brokered_by": ("brokered_by", "broker", "agency", "agent", "agencia", "inmobiliaria"),
    "street": ("street", "address", "street_id", "calle", "direccion"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMER_HEADERS)
def test_no_header_that_was_known_before_is_lost(name: str) -> None:
    for header in FORMER_HEADERS[name]:
        assert upload.match_columns([header], INPUTS)[name] == header


def test_columns_of_a_market_are_matched_by_its_headers() -> None:
    columns = ["State", "SqFt", "Built", "waterfront", "Material", "builder", "Renovated", "lat",
               "lon", "roof age", "floor"]  # fmt: skip
    matched = upload.match_columns(columns, model_info(EVERY_KIND).inputs)
    assert {name: column for name, column in matched.items() if column} == {
        "state": "State", "lat": "lat", "lon": "lon", "living_m2": "SqFt", "year_built": "Built",
        "floors": "floor", "waterfront": "waterfront", "material": "Material",
        "builder": "builder", "renovated": "Renovated", "roof_age": "roof age",
    }  # fmt: skip


def test_values_in_another_unit_are_sent_in_that_of_the_input() -> None:
    inputs = model_info(EVERY_KIND).inputs
    sent = []

    def ask(stream: bytes) -> bytes:
        sent.append(pa.ipc.open_stream(stream).read_all().to_pandas())
        answer = pd.DataFrame({"estimated_price": [1.0, 2.0, 3.0]})
        sink = io.BytesIO()
        table = pa.Table.from_pandas(answer)
        with pa.ipc.new_stream(sink, table.schema) as stream_out:
            stream_out.write_table(table)
        return sink.getvalue()

    frame = pd.DataFrame({"sqft": ["1076.39", None, "many"], "bed": ["3", "2", "1"]})
    matched = upload.match_columns(list(frame.columns), inputs)
    list(upload.value_rows(frame, matched, inputs, ask))
    values = sent[0]["living_m2"].tolist()
    assert float(values[0]) == 100
    assert pd.isna(values[1])
    assert values[2] == "many", "the service says what is wrong with it"
    assert sent[0]["bed"].tolist() == ["3", "2", "1"]


def test_example_file_holds_a_home_that_can_be_valued() -> None:
    for contract in (US_LISTINGS, EVERY_KIND, KING_COUNTY):
        info = model_info(contract)
        read = upload.read_table("homes.csv", upload.example_file(info).encode())
        matched = upload.match_columns(list(read.columns), info.inputs)
        assert upload.missing_columns(matched, info) == []
        assert all(column == name for name, column in matched.items() if column)
        home_model(contract)(**read.iloc[0].dropna().to_dict())


@pytest.mark.integration
def test_each_row_of_a_file_gets_an_estimate_or_an_error(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "CHUNK_ROWS", 2)
    rows = [HOUSE, HOUSE | {"bed": -1}, HOUSE | {"house_size": 900}, {"bed": 3}, HOUSE]
    frame = pd.DataFrame(rows).assign(mixed=["a", 1, None, 2.5, "b"])
    matched = upload.match_columns(list(frame.columns), INPUTS)
    with ServiceClient(service.url) as client:
        ask = client.predict_table
        steps = list(upload.value_rows(frame, matched, INPUTS, ask))
        rest = list(upload.value_rows(frame, matched, INPUTS, ask, start=4))
        expected = [client.predict(rows[i]).price for i in (0, 2, 4)]

    assert [step.done for step in steps] == [2, 4, 5]
    told = pd.concat([step.valued for step in steps])
    assert list(told.index) == list(frame.index)
    assert told["estimated_price"].dropna().tolist() == pytest.approx(expected)
    assert "bed is -1" in told["error"][1]
    assert "state or zip_code" in told["error"][3]
    assert told["error_codes"].fillna("").tolist() == ["", "out_of_range", "", "place_required", ""]
    assert [step.done for step in rest] == [5], "what is done is not asked for again"


def test_a_download_holds_no_formulas(tmp_path: Path) -> None:
    text = upload.to_file(FRAME, "csv").decode()
    assert "'=cmd()" in text
    assert "-3" in text
    assert "'-3" not in text
    again = pd.read_parquet(io.BytesIO(upload.to_file(FRAME, "parquet")))
    assert again["note"].tolist() == FRAME["note"].tolist()


@pytest.mark.parametrize("dtype", [object, "str", "string", "category"])
def test_download_escapes_formulas_in_every_text_dtype(dtype: object) -> None:
    notes = pd.Series(["=cmd()", "-3", None], dtype=dtype)
    frame = pd.DataFrame({"note": notes, "sold": pd.to_datetime(["2024-05-06", None, None])})

    text = upload.to_file(frame, "csv").decode()

    assert text.splitlines() == ["note,sold", "'=cmd(),2024-05-06", "-3,", ","]
