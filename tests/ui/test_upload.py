"""Files of homes: read or refused with a reason, matched by name, valued in chunks."""

import io
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtor_ui import upload
from realtor_ui.client import ServiceClient
from realtor_ui.sections.home_form import INPUTS
from tests.serving.running import HOUSE, Server

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
    matched = upload.match_columns(columns)
    assert {name: matched[name] for name in expected} == expected


# Matching takes tens of milliseconds: no deadline on a machine that is shared.
@settings(deadline=None)
@given(st.lists(st.text(max_size=12), max_size=14, unique=True))
def test_no_column_is_matched_twice(columns: list[str]) -> None:
    found = [column for column in upload.match_columns(columns).values() if column is not None]
    assert len(found) == len(set(found))
    assert set(found) <= set(columns)


def test_missing_place_and_size_columns_are_reported() -> None:
    assert upload.missing_columns({}) == ["many.missing_place", "many.missing_size"]
    assert upload.missing_columns({"zip_code": "z"}) == ["many.missing_size"]
    assert upload.missing_columns({"zip_code": "z", "bed": "b"}) == []


@pytest.mark.integration
def test_each_row_of_a_file_gets_an_estimate_or_an_error(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "CHUNK_ROWS", 2)
    rows = [HOUSE, HOUSE | {"bed": -1}, HOUSE | {"house_size": 900}, {"bed": 3}, HOUSE]
    frame = pd.DataFrame(rows).assign(mixed=["a", 1, None, 2.5, "b"])
    with ServiceClient(service.url) as client:
        steps = list(
            upload.value_rows(
                frame, upload.match_columns(list(frame.columns)), client.predict_table
            )
        )
        rest = list(
            upload.value_rows(
                frame, upload.match_columns(list(frame.columns)), client.predict_table, start=4
            )
        )
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
