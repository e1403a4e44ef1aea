"""What a file holds: its columns are matched, its values read, its rows refused with a reason."""

import numpy as np
import pytest

from realtor_model.listing import US_LISTINGS
from realtor_ui.uploads.understanding import lacking
from tests.ui.markets import EVERY_KIND, KING_COUNTY, model_info
from tests.ui.uploads.shapes import (
    INDEX_AND_TOTAL,
    MONEY_AND_UNITS,
    REDFIN,
    SCRAPER,
    TRAILING_COMMAS,
    understood,
)


def headers(content: bytes, **chosen: str | None) -> dict[str, str]:
    """Name -> header of the best source."""
    matching = understood(content, chosen).reading.matching
    return {name: " + ".join(sources[0].headers) for name, sources in matching.sources.items()}


def test_a_redfin_download_is_understood() -> None:
    read = understood(REDFIN)
    assert read.valid.tolist() == [0, 1]
    assert read.first_values("acre_lot") == pytest.approx([5227 / 43_560, 1800 / 43_560])
    assert read.first_values("bath") == [2.5, 1.5]
    assert read.first_values("price") == [421_000, 255_000]
    assert set(read.reading.matching.unused) == {"SALE TYPE", "YEAR BUILT"}
    assert {read.sureness(name) for name in ("city", "status")} == {"name"}
    assert read.sureness("zip_code") == "header"
    assert [note.code for note in read.reading.notes] == ["read_in_unit", "unused_columns"]


def test_a_scraper_export_is_understood() -> None:
    read = understood(SCRAPER)
    assert headers(SCRAPER)["bath"] == "full_baths + half_baths"
    assert read.first_values("bath") == [2.5, 1.0]
    assert read.prices is not None
    assert read.prices.tolist() == [421_000, 255_000], "the asking price where nothing was sold"


def test_money_and_units_are_read() -> None:
    read = understood(MONEY_AND_UNITS)
    assert read.first_values("house_size") == [1800, 2303]
    assert read.first_values("acre_lot") == pytest.approx([0.12, 0.25], rel=1e-3)
    assert read.first_values("price") == [350_000, 415_500]


def test_prices_that_cannot_be_read_cost_no_row() -> None:
    read = understood(b"zip_code,bed,price\n77002,3,much\n77002,3,0\n77002,3,1e99\n77002,3,9\n")
    assert read.valid.tolist() == [0, 1, 2, 3]
    assert read.prices is not None
    np.testing.assert_array_equal(read.prices, [np.nan, np.nan, np.nan, 9])
    assert understood(TRAILING_COMMAS).prices is None


def test_a_row_of_totals_is_told_apart() -> None:
    read = understood(INDEX_AND_TOTAL)
    assert read.valid.tolist() == [0, 1]
    assert [problem.code for problem in read.problems[2]] == ["total_row"]


def test_a_row_that_does_not_fit_the_header_fails_and_decides_nothing() -> None:
    read = understood(b"zip_code,bed,Lot Size\n77002,3,5227\n77002,3,9000,0.1\n06114,2,6000\n")
    assert read.valid.tolist() == [0, 2]
    (problem,) = read.problems[1]
    assert (problem.code, problem.params) == ("row_does_not_fit", {"cells": 4, "columns": 3})


def test_a_header_that_only_resembles_an_input_is_used_and_flagged() -> None:
    content = b"zip_code,bedroms\n77002,3\n"
    read = understood(content)
    assert read.sureness("bed") == "resembles"
    assert read.first_values("bed") == [3]
    assert "bed" not in headers(content, bed=None), "the user cleared it"
    assert understood(content, {"bed": "bedroms"}).sureness("bed") == "chosen"


def test_the_users_choice_comes_before_the_name() -> None:
    content = b"zip_code,bed,rooms\n77002,3,5\n"
    assert headers(content)["bed"] == "bed"
    read = understood(content, {"bed": "rooms"})
    assert read.sureness("bed") == "chosen"
    assert read.first_values("bed") == [5]
    assert "bed" in read.reading.matching.unused


@pytest.mark.parametrize(
    ("columns", "missing"),
    [
        ("note,roof", ["many.missing_place", "many.missing_size"]),
        ("zip_code,roof", ["many.missing_size"]),
        ("zip_code,beds", []),
    ],
)
def test_columns_without_which_nothing_is_valued_are_named(
    columns: str, missing: list[str]
) -> None:
    read = understood(f"{columns}\n77002,3\n".encode())
    assert lacking(read.reading.matching.sources, model_info()) == missing
    assert (read.homes is None) == bool(missing)
    assert len(read.valid) == (not missing)


def test_one_coordinate_is_no_place() -> None:
    county = model_info(KING_COUNTY)
    only = understood(b"lat,sqft_living\n47.5,1800\n", contract=KING_COUNTY)
    assert lacking(only.reading.matching.sources, county) == ["many.missing_place"]
    both = understood(b"lat,long,sqft_living\n47.5,-122.2,1800\n", contract=KING_COUNTY)
    assert both.valid.tolist() == [0]


def test_columns_of_a_market_are_matched_by_its_headers() -> None:
    content = (
        b"State,SqFt,Built,waterfront,Material,builder,Renovated,lat,lon,roof age\n"
        b"Texas,1076.39,1985,yes,brick,Ruiz,2015-06-01,29.7,-95.3,12\n"
    )
    read = understood(content, contract=EVERY_KIND)
    assert read.valid.tolist() == [0]
    assert set(read.inputs) == {
        "state", "living_m2", "year_built", "waterfront", "material", "builder", "renovated",
        "lat", "lon", "roof_age",
    }  # fmt: skip
    assert read.first_values("living_m2") == [100], "square feet in its header"


# What the app knew of headers before markets declared them; without "land", which is a value in
# dollars where assessors write it.
FORMER_HEADERS = {
    "state": ("state", "province", "estado", "st"),
    "city": ("city", "town", "municipality", "ciudad", "municipio"),
    "zip_code": ("zip_code", "zip", "zipcode", "postal_code", "postcode", "codigo_postal", "cp"),
    "house_size": ("house_size", "sqft", "living_area", "area", "square_feet", "size", "gla",
                   "superficie", "superficie_habitable", "area_construida", "pies_cuadrados",
                   "metros"),
    "acre_lot": ("acre_lot", "lot", "lot_size", "acres", "lot_acres", "terreno", "lote",
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
        assert headers(f"{header},filler\n1,2\n".encode()) == {name: header}
    assert set(FORMER_HEADERS) == set(US_LISTINGS.by_name)
