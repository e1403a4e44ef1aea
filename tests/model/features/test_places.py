"""Places: one for all spellings, and a zip code that gives, or corrects, its state and city."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from realtor_model.features import FeatureEncoder, property_fold
from realtor_model.features.place_context import place_context
from realtor_model.features.places import Level, Places, locate
from realtor_model.listing import US_LISTINGS, Columns, ListingContract, contract_of
from realtor_model.listing.place_keys import city_key, state_key
from tests.model.conftest import AS_OF

Texts = NDArray[np.object_]

# State, city and zip of homes, and other spellings of both names.
REAL = [
    ("Missouri", "Saint Louis", "63110"),
    ("Texas", "Houston", "77008"),
    ("Texas", "Fort Worth", "76102"),
    ("Ohio", "Columbus", "43215"),
    ("California", "La Canada Flintridge", "91011"),
]
SPELLED = {
    "Missouri": ["MO", "Mo.", "US-MO", "missouri"],
    "Texas": ["TX", "Tex.", "TEXAS", "texas "],
    "Ohio": ["OH", "ohio"],
    "California": ["CA", "Calif.", "Calif"],
    "Saint Louis": ["St. Louis", "ST LOUIS", "Saint\u00a0Louis"],
    "Fort Worth": ["Ft. Worth", "FT WORTH", "fort  worth"],
    "La Canada Flintridge": ["La Cañada Flintridge", "La Cañada-Flintridge"],
    "Houston": ["HOUSTON", " houston"],
    "Columbus": ["columbus"],
}


def columns_of(places: list[tuple[str | None, str | None, str | None]], seed: int = 0) -> Columns:
    """Sold homes at `places`, two for each street, with a living area and nothing else."""
    rng = np.random.default_rng(seed)
    n = len(places)
    state, city, zip_code = (np.array(texts, object) for texts in zip(*places, strict=True))
    given = {"state": state, "city": city, "zip_code": zip_code}
    given["house_size"] = np.round(np.exp(rng.normal(7.4, 0.4, n)))
    given["street"] = np.arange(n) // 2.0
    given["status"] = np.full(n, "sold", object)
    return US_LISTINGS.completed(given)


def spelled(texts: Texts, rng: np.random.Generator) -> Texts:
    return np.array([rng.choice([text, *SPELLED[text]]) for text in texts], object)


def fitted(columns: Columns, contract: ListingContract = US_LISTINGS) -> tuple[Any, Any]:
    worth = {zip_code: 12.0 + i / 3 for i, (_, _, zip_code) in enumerate(REAL)}
    level = np.array([worth.get(zip_code, 12.5) for zip_code in columns["zip_code"]])
    price = np.exp(level + 0.8 * (np.log(columns["house_size"]) - 7.4))
    return FeatureEncoder.fit(columns, price, as_of=AS_OF, contract=contract)


@pytest.fixture(scope="module")
def plain() -> Columns:
    return columns_of(REAL * 60)


def test_training_rows_in_any_spelling_are_the_same_rows(plain: Columns) -> None:
    rng = np.random.default_rng(1)
    mixed = {**plain, "state": spelled(plain["state"], rng), "city": spelled(plain["city"], rng)}
    encoder, matrix = fitted(plain)
    of_mixed, mixed_matrix = fitted(mixed)

    assert np.array_equal(matrix, mixed_matrix)
    categories, mixed_categories = (
        each.to_tables().encoding_mappings for each in (encoder, of_mixed)
    )
    assert categories.equals(mixed_categories)
    of = categories.groupby("column_name")["category"].agg(set)
    assert of["state"] == {"missouri", "texas", "ohio", "california"}
    assert of["city"] == {city_key(city) + "|" + state_key(state) for state, city, _ in REAL}


def test_listings_of_one_property_share_a_fold_whatever_the_spelling(plain: Columns) -> None:
    rng = np.random.default_rng(2)
    mixed = {**plain, "city": spelled(plain["city"], rng)}
    assert np.array_equal(property_fold(plain, 5, 0), property_fold(mixed, 5, 0))


@pytest.mark.parametrize("rows", [1, 100], ids=["few", "many"])
def test_a_zip_code_gives_what_is_missing_and_corrects_what_contradicts(
    plain: Columns, rows: int
) -> None:
    encoder, _ = fitted(plain)
    asked: list[tuple[str | None, str | None, str | None]] = [
        ("Ohio", "Columbus", "43215"),
        (None, None, "43215"),
        ("Ohio", None, "43215"),
        (None, "Columbus", "43215"),
        ("Texas", "Houston", "43215"),
        ("Tex.", None, "43215"),
    ]
    columns = columns_of(asked * rows)
    columns = {**columns, "house_size": np.full(len(asked) * rows, 1800.0)}
    at = encoder.locate(columns)

    matrix = encoder.transform(columns, at)
    assert np.array_equal(matrix, np.broadcast_to(matrix[0], matrix.shape))
    assert at.contradicted.tolist() == [False, False, False, False, True, True] * rows
    assert not any(mask.any() for mask in encoder.unknown(columns, at).values())
    placed_by = encoder.placed_by(columns, at)
    assert list(placed_by) == ["zip_code", "city", "state"]
    assert placed_by["zip_code"].all()
    assert placed_by["city"].tolist() == [True, False, False, True, False, False] * rows
    assert placed_by["state"].tolist() == [True, False, True, False, False, False] * rows


def test_a_zip_code_in_two_states_contradicts_no_one_of_them(plain: Columns) -> None:
    encoder, _ = fitted(plain)
    columns = columns_of(
        [("TN", None, "42223"), ("Kentucky", None, "42223"), ("Texas", None, "42223")]
    )
    assert encoder.locate(columns).contradicted.tolist() == [False, False, True]


@pytest.mark.parametrize(
    "place",
    [("Madrid", "Madrid", "28012"), ("Ciudad de México", None, "06604"),
     ("Texas", "Houston", "00000"), ("Texas", "Houston", None), (None, "Houston", None)],
)  # fmt: skip
def test_without_a_state_and_a_zip_of_the_united_states_nothing_contradicts(
    plain: Columns, place: tuple[str | None, str | None, str | None]
) -> None:
    encoder, _ = fitted(plain)
    assert not encoder.locate(columns_of([place])).contradicted.any()


def test_zip_codes_of_another_country_imply_no_place() -> None:
    """Zip 28012 is in Madrid here, and in North Carolina by the table of the United States."""
    declaration = dict(US_LISTINGS.declaration)
    declaration["market"] = {**declaration["market"], "currency": "EUR"}
    spain = contract_of(declaration, "test")
    columns = columns_of([(None, "Madrid", "28012"), ("CA", "Cádiz", "11001")] * 60)
    encoder, _ = fitted(columns, spain)

    categories = encoder.to_tables().encoding_mappings.groupby("column_name")["category"].agg(set)
    assert categories["state"] == {"ca"}
    assert categories["city"] == {"madrid|", "cadiz|ca"}
    at = encoder.locate(columns)
    assert not at.contradicted.any()
    assert not any(mask.any() for mask in encoder.unknown(columns, at).values())


def test_states_of_another_country_hold_in_a_market_in_dollars() -> None:
    without = (None, None, "28012")
    columns = columns_of([("Madrid", "Madrid", "28012"), ("Madrid", None, "28012"), without] * 60)
    encoder, _ = fitted(columns)

    categories = encoder.to_tables().encoding_mappings.groupby("column_name")["category"].agg(set)
    assert categories["state"] == {"madrid"}
    assert categories["city"] == {"madrid|madrid"}
    assert encoder.locate(columns_of([without])).codes["state"].tolist() == [0]


def test_places_that_an_older_version_spelled_apart_are_looked_up_as_one(plain: Columns) -> None:
    encoder, _ = fitted(plain)
    tables = encoder.to_tables()
    older = tables._replace(
        encoding_mappings=_older(tables.encoding_mappings, "category", extra=True),
        zip_context=_older(tables.zip_context, "place"),
    )
    read = FeatureEncoder.from_tables(
        older.encoding_mappings, older.preprocessing_statistics, older.zip_context
    )
    rng = np.random.default_rng(3)
    mixed = {**plain, "state": spelled(plain["state"], rng), "city": spelled(plain["city"], rng)}

    assert np.array_equal(read.transform(mixed), encoder.transform(plain))


def _older(table: Any, name: str, extra: bool = False) -> Any:
    """`table` with keys as version 2 made them: "st. louis|missouri" beside "saint louis|…"."""
    spellings: Mapping[str, str] = {
        f"{city_key(city)}|{state_key(state)}": f"{city.casefold()}|{state.casefold()}"
        for state, city, _ in REAL
    }
    table = table.assign(**{name: table[name].replace(spellings)})
    if not extra:
        return table
    of_city = table[table["column_name"] == "city"]
    rare = of_city.iloc[:1].assign(
        category="st. louis|mo", code=len(of_city), listings=1, log_price=0
    )
    return table.__class__(np.vstack([table, rare]), columns=table.columns).astype(table.dtypes)


def test_all_places_of_the_context_are_found_by_the_names_of_the_public_table() -> None:
    index = place_context().index
    levels = {name: Level({}, ()) for name in ("state", "zip3", "zip_code", "city", "brokered_by")}
    places = Places.of(levels, index, in_us=True)
    at = locate(columns_of([("MO", "ST. LOUIS", None), ("D.C.", "Washington", None)]), places)

    assert [index[row] for row in at.place] == [
        "saintlouis|missouri", "washington|district of columbia",
    ]  # fmt: skip
