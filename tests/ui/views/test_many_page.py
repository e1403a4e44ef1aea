"""The page "Value many" as Streamlit runs it: understanding, correcting, valuing, coming back."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from realtor_ui.texts import LANGUAGES, catalogue
from tests.model.reading.workbooks import xlsx
from tests.serving.running import Server
from tests.ui.markets import market_texts
from tests.ui.uploads.shapes import INDEX_AND_TOTAL, REDFIN, SCRAPER, csv
from tests.ui.views.test_pages import HOME, T, open_app, press, words

pytestmark = [pytest.mark.integration]


def upload(
    service: Server,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    name: str = "homes.csv",
    **state: Any,
) -> AppTest:
    app = open_app(monkeypatch, service.url, "many", **state)
    app.file_uploader[0].upload(name, content).run()
    assert not app.exception, app.exception
    return app


def go(app: AppTest, page: str) -> None:
    app.switch_page(f"views/{page}_page.py").run()
    assert not app.exception, app.exception


def start(app: AppTest, rows: int) -> AppTest:
    return press(app, T("many.start", rows=f"{rows:,}"))


def header(app: AppTest, name: str) -> Any:
    return app.selectbox(key=f"match_{name}")


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_was_understood_is_shown_before_anything_is_valued(
    service: Server, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    app = upload(service, monkeypatch, REDFIN, lang=language)
    t = market_texts(language)

    shown = words(app)
    assert header(app, "acre_lot").value == "LOT SIZE"
    lot = {"en": "LOT SIZE (Lot size) is read in sq ft.",
           "es": "LOT SIZE (Área del terreno) se lee en pies²."}[language]  # fmt: skip
    assert lot in shown
    assert t("many.sure_header") in shown
    assert t("many.sure_name") in shown
    assert t("many.unused", n=2) in shown
    assert "YEAR BUILT" in shown
    assert "2.5 · 1.5" in shown
    assert app.success[0].value == t("many.all_readable")
    assert not app.metric


def test_full_and_half_baths_are_one_input_of_two_columns(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = upload(service, monkeypatch, SCRAPER)
    baths = header(app, "bath")
    assert "full_baths + half_baths" in baths.options
    assert "2.5 · 1" in words(app)
    baths.set_value("full_baths").run()
    assert "2 · 1" in words(app)
    press(app, T("many.match_again"))
    assert "2.5 · 1" in words(app)


def test_changing_and_clearing_a_column_reads_the_file_again(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = csv(HOME | {"rooms": 5, "bedroms_": -1})
    app = upload(service, monkeypatch, content)
    assert header(app, "bed").value == "bed"
    header(app, "bed").set_value("bedroms_").run()
    assert T("many.failing", n=1, rows=1) in [each.value for each in app.warning]
    header(app, "bed").set_value(None).run()
    assert app.success[0].value == T("many.all_readable")
    assert header(app, "bed").value is None
    header(app, "bed").set_value("house_size").run()
    assert header(app, "house_size").value is None, "no column is used twice"


def test_a_similar_header_is_preselected_and_flagged(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = upload(service, monkeypatch, b"zip_code,bedroms\n77002,3\n")
    assert header(app, "bed").value == "bedroms"
    assert T("many.sure_resembles") in words(app)


def test_rows_that_will_fail_are_counted_by_reason_with_their_lines(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = INDEX_AND_TOTAL + b"3,Texas,77002,many,1800\n4,Texas,77002,lots,1800\n"
    app = upload(service, monkeypatch, content)
    assert T("many.failing", n=3, rows=5) in [each.value for each in app.warning]
    table = app.dataframe[-1].value
    assert table[T("many.line")].tolist() == ["5, 6", "4"]
    assert table[T("many.rows")].tolist() == [2, 1]
    assert table[T("many.problem")].tolist() == [
        f"Bedrooms: {T('row_problem.not_a_number')}", T("row_problem.total_row"),
    ]  # fmt: skip
    assert table[T("many.details")].tolist()[0] == "Bedrooms: many is not a number."


def test_file_is_valued_and_compared_with_its_prices(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = [HOME | {"house_size": 1_000 + 100 * i, "price": 200_000 + i} for i in range(12)]
    app = start(upload(service, monkeypatch, csv(*homes, {"bed": 3})), 12)

    figures = metrics(app)
    assert (figures[T("many.valued")], figures[T("many.refused")]) == ("12", "1")
    assert {T("models.median_ratio"), T("models.cod"), T("models.prd")} <= set(figures)
    assert "IAAO" in words(app)
    table = app.dataframe[-1].value
    assert len(table) == 13
    estimate, gap = (
        table[T("many.column_estimated_price")],
        table[T("many.column_price_gap_percent")],
    )
    assert gap[0] == pytest.approx(100 * (200_000 / estimate[0] - 1), abs=0.06)
    assert table[T("many.problem")].tolist()[-1] == T("row_problem.place_required")


def test_few_prices_make_no_ratio_statistics(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = start(upload(service, monkeypatch, REDFIN), 2)
    assert T("models.cod") not in metrics(app)
    assert T("many.few_prices", least=10) in words(app)


def test_nothing_is_lost_on_other_pages(service: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    app = upload(service, monkeypatch, csv(HOME | {"rooms": 5}))
    header(app, "bed").set_value("rooms").run()
    start(app, 1)
    before = metrics(app)
    go(app, "market")
    go(app, "value")
    go(app, "many")
    assert metrics(app) == before
    assert header(app, "bed").value == "rooms"
    assert T("many.sure_chosen") in words(app)

    press(app, T("many.remove"))
    assert app.file_uploader
    assert not app.metric


def test_changed_matching_forgets_the_results(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = start(upload(service, monkeypatch, csv(HOME | {"rooms": 5})), 1)
    assert app.metric
    header(app, "bed").set_value("rooms").run()
    assert not app.metric
    start(app, 1)
    assert app.metric


def test_another_sheet_can_be_chosen(service: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    book = xlsx(
        {
            "Homes": [["zip_code", "bed"], ["77002", 3], ["06114", 2]],
            "More": [["ZIP", "Beds"], ["06830", 4]],
            "Empty": [["nothing"]],
        }
    )
    app = upload(service, monkeypatch, book, "homes.xlsx")
    sheets = app.selectbox(key="many_sheet")
    assert sheets.value == "Homes"
    sheets.set_value("More").run()
    assert T("many.file", rows=1, columns=2) in words(app)
    assert header(app, "zip_code").value == "ZIP"
    start(app, 1)
    app.selectbox(key="many_sheet").set_value("Empty").run()
    assert not app.exception
    assert app.error
    assert app.selectbox(key="many_sheet").value == "Homes"


@pytest.mark.parametrize("language", LANGUAGES)
def test_file_that_is_no_table_is_refused_in_the_users_language(
    service: Server, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    app = upload(service, monkeypatch, b"state,bed,bed\nTexas,3,3\n", lang=language)
    reason = catalogue(language)("message.repeated_header", header="bed")
    assert reason in app.error[0].value
    assert app.file_uploader, "another file can be given at once"


def test_columns_without_a_place_are_asked_for(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = upload(service, monkeypatch, b"where,bed\n77002,3\n")
    assert app.warning[0].value == market_texts()("many.missing_place")
    header(app, "zip_code").set_value("where").run()
    start(app, 1)
    assert metrics(app)[T("many.valued")] == "1"
