"""Whole columns decide how their values are read."""

import pytest

from realtor_model.listing import US_LISTINGS, match_headers, matched_columns, read_conventions
from realtor_model.listing.headers import suggestions
from realtor_model.listing.table_reading import TableReading


def read(**columns: list[object]) -> TableReading:
    return read_conventions(columns, [columns], US_LISTINGS)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("BEDS", "bed"), ("BedroomsTotal", "bed"), ("No. of Bedrooms", "bed"),
        ("Habitaciones", "bed"), ("Recámaras", "bed"), ("BATHS", "bath"), ("Baños", "bath"),
        ("BathroomsTotalInteger", "bath"), ("SQUARE FEET", "house_size"), ("sqft", "house_size"),
        ("Sq. Ft.", "house_size"), ("GLA (sq ft)", "house_size"), ("living_area_m2", "house_size"),
        ("Superficie construida", "house_size"), ("GROSS SQUARE FEET", "house_size"),
        ("GrLivArea", "house_size"), ("LOT SIZE", "acre_lot"), ("LotSizeAcres", "acre_lot"),
        ("LotSizeSquareFeet", "acre_lot"), ("lot_sqft", "acre_lot"), ("sqft_lot", "acre_lot"),
        ("LAND SQUARE FEET", "acre_lot"), ("LotArea", "acre_lot"), ("Acreage", "acre_lot"),
        ("ZIP OR POSTAL CODE", "zip_code"), ("SitusZip5", "zip_code"), ("ZIP", "zip_code"),
        ("STATE OR PROVINCE", "state"), ("SitusState", "state"), ("St", "state"),
        ("CITY", "city"), ("Municipio", "city"), ("ADDRESS", "street"), ("APN", "street"),
        ("SOLD DATE", "prev_sold_date"), ("last_sold_date", "prev_sold_date"),
        ("SALE PRICE", "price"), ("list_price", "price"), ("SalePrice", "price"),
        ("MlsStatus", "status"), ("homeStatus", "status"), ("agent", "brokered_by"),
        ("Property Zip Code", "zip_code"), ("Zip/Postal Code", "zip_code"),
        ("State/Province", "state"), ("UnparsedAddress", "street"), ("Baths Total", "bath"),
        ("Número de baños", "bath"), ("Nº habitaciones", "bed"), ("Bldg SqFt", "house_size"),
        ("Total Finished SqFt", "house_size"), ("SqFt (Approx)", "house_size"),
        ("calculatedfinishedsquarefeet", "house_size"), ("m²", "house_size"),
        ("m² útiles", "house_size"), ("Land Acres", "acre_lot"), ("Total Acres", "acre_lot"),
        ("Superficie parcela", "acre_lot"), ("Last Sale Price", "price"),
    ],
)  # fmt: skip
def test_header_of_a_public_file_is_matched(header: str, name: str) -> None:
    (column,) = matched_columns([header], US_LISTINGS).values()

    assert column.name == name


@pytest.mark.parametrize(
    "header", ["YEAR BUILT", "DAYS ON MARKET", "$/SQUARE FEET", "HOA/MONTH", "LATITUDE", "MLS#",
               "price_per_sqft", "sqft_living15", "property_url", "TOTAL UNITS", "", "#",
               "Land", "Building", "Total", "Finished", "Heated", "Gross", "TotalBsmtSF"]
)  # fmt: skip
def test_header_of_something_else_is_unused(header: str) -> None:
    assert match_headers([header], US_LISTINGS).unused == (header,)


def test_lot_in_a_block_is_the_number_of_a_parcel() -> None:
    headers = ["BLOCK", "LOT", "LAND SQUARE FEET"]
    (source,) = match_headers(headers, US_LISTINGS).sources["acre_lot"]

    assert source.headers == ("LAND SQUARE FEET",)
    assert "acre_lot" in match_headers(["LOT", "ZIP"], US_LISTINGS).sources


@pytest.mark.parametrize(
    ("header", "units", "name"),
    [
        ("LivingArea", "LivingAreaUnits", "house_size"),
        ("LotSizeArea", "LotSizeUnits", "acre_lot"),
        ("lotAreaValue", "lotAreaUnit", "acre_lot"),
        ("house_size", "house_size_unit", "house_size"),
    ],
)
def test_column_of_units_is_read_with_its_sizes(header: str, units: str, name: str) -> None:
    matching = match_headers([header, units], US_LISTINGS)

    assert matching.sources[name][0].unit_header == units
    assert matching.unused == ()


def test_units_of_a_column_are_noted_once() -> None:
    reading = read(lotAreaValue=[5227, 0.25, 6000], lotAreaUnit=["sqft", "acres", "sqft"])

    assert [note.code for note in reading.notes] == ["read_in_units_of"]


def test_standard_status_comes_before_that_of_an_mls() -> None:
    sources = match_headers(["MlsStatus", "StandardStatus"], US_LISTINGS).sources["status"]

    assert [source.headers for source in sources] == [("StandardStatus",), ("MlsStatus",)]


def test_own_name_comes_first_and_other_headers_fill_its_gaps() -> None:
    sources = match_headers(["Beds", "bed", "bedrooms"], US_LISTINGS).sources["bed"]

    assert [source.headers for source in sources] == [("bed",), ("Beds",), ("bedrooms",)]
    assert [source.certainty for source in sources] == ["name", "header", "header"]


def test_full_and_half_baths_come_before_a_total() -> None:
    headers = ["BathroomsTotalInteger", "BathroomsFull", "BathroomsHalf"]
    first, second = match_headers(headers, US_LISTINGS).sources["bath"]

    assert (first.headers, first.weights) == (("BathroomsFull", "BathroomsHalf"), (1, 0.5))
    assert second.headers == ("BathroomsTotalInteger",)


def test_half_baths_alone_are_no_number_of_baths() -> None:
    assert "bath" not in match_headers(["half_baths"], US_LISTINGS).sources


def test_person_chooses_and_clears_headers() -> None:
    chosen = {"house_size": "Built (m2)", "bed": None}
    matching = match_headers(["Beds", "sqft", "Built (m2)"], US_LISTINGS, chosen)

    assert matching.sources.keys() == {"house_size"}
    (source,) = matching.sources["house_size"]
    assert (source.headers, source.unit, source.certainty) == (
        ("Built (m2)",), "square meters", "chosen",
    )  # fmt: skip
    assert matching.unused == ("Beds", "sqft")


def test_resembling_header_is_suggested_and_not_used() -> None:
    matching = match_headers(["bedroms", "zip", "altitude"], US_LISTINGS)

    assert "bed" not in matching.sources
    assert suggestions(matching, US_LISTINGS) == {"bedroms": "bed"}


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        (["5227", "1800", ""], "square feet"),
        ([5227.0, 10_890.0, None], "square feet"),
        (["5,227", "10,890 "], "square feet"),
        (["0.12", "0.08", "40"], None),
        (["0.12 ac", "5,227 sqft"], None),
        (["250", "300"], None),
    ],
)
def test_lots_show_their_unit_where_the_header_does_not(
    values: list[object], unit: str | None
) -> None:
    reading = read(**{"LOT SIZE": values})

    assert reading.sources("acre_lot")[0][1].unit == unit
    assert ("read_in_unit" in [note.code for note in reading.notes]) == (unit is not None)


def test_name_of_the_market_means_its_unit() -> None:
    assert read(acre_lot=["5227", "1800"]).sources("acre_lot")[0][1].unit is None


def test_ten_small_sizes_are_square_meters_and_fewer_are_not() -> None:
    sizes: list[object] = [str(60 + 12 * home) for home in range(12)]

    assert read(Size=sizes).sources("house_size")[0][1].unit == "square meters"
    assert read(Size=sizes[:9]).sources("house_size")[0][1].unit is None
    assert read(sqft=sizes).sources("house_size")[0][1].unit is None


def test_column_decides_on_its_decimal_sign() -> None:
    reading = read(acre_lot=["1.250", "0,25"], bath=["1.500", "2"])

    assert reading.sources("acre_lot")[0][1].decimal == ","
    # A column that does not show it follows the others of its file.
    assert reading.sources("bath")[0][1].decimal == ","
    assert [note.code for note in reading.notes] == ["read_with_decimal_comma"]
    assert read(acre_lot=["1.250", "0.25"]).sources("acre_lot")[0][1].decimal == "."


def test_prices_have_no_three_decimals() -> None:
    reading = read(precio=["350.000", "1.200.000"], acre_lot=["1.250"])

    assert reading.sources("price")[0][1].decimal == ","
    assert reading.sources("acre_lot")[0][1].decimal == ","
    assert read(price=["350,000"]).sources("price")[0][1].decimal == "."


@pytest.mark.parametrize(
    ("dates", "order"),
    [
        (["6/7/2019", "28/6/2019"], (("/", "day first"),)),
        (["6/7/2019", "6/28/2019"], (("/", "month first"),)),
        (["6/7/2019"], (("/", "month first"),)),
        (["6/28/2019", "28-06-2019"], (("-", "day first"), ("/", "month first"))),
        (["2019-06-28", "June 28, 2019"], ()),
        (["28/6/2019", "29/6/2019", "6/28/2019"], (("/", "day first"),)),
    ],
)
def test_column_decides_on_the_order_of_day_and_month(
    dates: list[object], order: tuple[tuple[str, str], ...]
) -> None:
    reading = read(prev_sold_date=dates)

    assert tuple(sorted(reading.sources("prev_sold_date")[0][1].day_order)) == order
    assert len(reading.notes) == len(order)


def test_block_after_block_is_read_until_the_column_is_clear() -> None:
    blocks = [{"prev_sold_date": [text]} for text in ("6/7/2019", "5/4/2019", "28/6/2019", "x")]
    seen: list[int] = []

    def read_blocks():  # type: ignore[no-untyped-def]
        for number, block in enumerate(blocks):
            seen.append(number)
            yield block

    reading = read_conventions(["prev_sold_date"], read_blocks(), US_LISTINGS)

    assert reading.sources("prev_sold_date")[0][1].order_of("6/7/2019") == "day first"
    assert seen[-1] == 3, "a block more is asked for, and not read"


def test_unused_columns_are_listed() -> None:
    (note,) = read(bed=["3"], roof=["slate"], pool=["no"]).notes

    assert (note.code, note.params) == (
        "unused_columns", {"count": 2, "columns": ["roof", "pool"]},
    )  # fmt: skip


def test_long_header_is_no_column_and_resembles_none() -> None:
    header = "bedroms" + "\u0315\u0300" * 60
    matching = match_headers([header, "bedroms"], US_LISTINGS)
    assert matching.unused == (header, "bedroms")
    assert suggestions(matching, US_LISTINGS) == {"bedroms": "bed"}


def test_column_has_at_most_six_sources() -> None:
    headers = list(US_LISTINGS.by_key["bed"].headers)
    matching = match_headers(headers, US_LISTINGS)
    assert [source.headers[0] for source in matching.sources["bed"]] == headers[:6]
    assert matching.unused == tuple(headers[6:])
