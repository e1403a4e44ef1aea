"""Market files: broken ones are refused in one line, valid ones make a contract of a home."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtor_model.listing import (
    FIRST_DATE,
    LAST_DATE,
    US_LISTINGS,
    InvalidMarketFile,
    Kind,
    Role,
    contract_of,
    home_model,
    matched_columns,
    parse_number,
    read_market,
)
from realtor_model.listing.column import KEYS, kinds_of
from realtor_model.listing.parsing import ZERO_IS_UNKNOWN

ROOT = Path(__file__).parents[3]
YEAR_BUILT = '[columns.year_built]\ntype = "integer"\nrange = [1800, 2100]\nunit = "(year)"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "county.toml"
    path.write_text(text, "utf-8")
    return path


def added(text: str, name: str = "grade", kind: str = "integer", span: str = "[1, 13]") -> str:
    """A column table with further lines."""
    limits = f"range = {span}\n" if kind in ("integer", "number") else ""
    return f'[columns.{name}]\ntype = "{kind}"\n{limits}{text}\n'


# File -> the place that the message names, and what it says there.
BROKEN = {
    "unknown type": (
        '[columns.grade]\ntype = "float"\n', "[columns.grade] type",
        "'float' is not valid: write one of number, integer, boolean, category, date",
    ),
    "type missing": ("[columns.grade]\nrange = [1, 13]\n", "[columns.grade] type",
                     "is missing: write one of number"),
    "unknown role": (added('role = "storeys"'), "[columns.grade] role",
                     "there is no role 'storeys': write one of target, id, broker"),
    "role of another type": (added('role = "city"'), "[columns.grade] type",
                             "a column with the role city is category, not integer"),
    "two targets": (added('role = "target"'), "[columns.grade] role",
                    "price has the role target already"),
    "no target": ('[market]\nleave_out = ["price"]\n', "[columns]",
                  'no column has the role target: write role = "target"'),
    "no place": ('[market]\nleave_out = ["state", "zip_code"]\n', "[columns]",
                 "no column places a home"),
    "no size": ('[market]\nleave_out = ["house_size", "acre_lot", "bed"]\n', "[columns]",
                "no column says how large a home is"),
    "range upside down": (added("", span="[13, 1]"), "[columns.grade] range",
                          "13 is not below 1: write the lowest value first"),
    "range missing": ('[columns.grade]\ntype = "integer"\n', "[columns.grade] range", "is missing"),
    "range of one number": (added("", span="[1]"), "[columns.grade] range",
                            "[1] is not valid: write the lowest and the highest valid value"),
    "range without an end": (added("", span="[0, inf]"), "[columns.grade] range",
                             "write two finite numbers"),
    "range of a category": (added("range = [1, 2]", kind="category"), "[columns.grade] range",
                            "a category has none"),
    "fraction in a whole range": (added("", span="[0.5, 13]"), "[columns.grade] range",
                                  "an integer has whole numbers here"),
    "fraction as a whole step": (added("step = 0.5"), "[columns.grade] step",
                                 "an integer has whole numbers here"),
    "step of nothing": (added("step = 0"), "[columns.grade] step", "write a number above 0"),
    "usual values out of range": (added("usual = [0, 5]"), "[columns.grade] usual",
                                  "0 to 5 is not within the range, 1 to 13"),
    "usual values of a boolean": (added("usual = [0, 5]", kind="boolean"),
                                  "[columns.grade] usual", "a boolean has none"),
    "choices of a number": (added('choices = ["1"]'), "[columns.grade] choices",
                            'write type = "category"'),
    "a choice twice": (added('choices = ["a", "a"]', kind="category"), "[columns.grade] choices",
                       "'a' is there twice"),
    "a choice with blanks": (added('choices = [" a"]', kind="category"),
                             "[columns.grade] choices", "' a' has blanks"),
    "default that is no choice": (
        added('choices = ["a"]\ndefault = "b"', kind="category"), "[columns.grade] default",
        "'b' is none of the choices: write one of a",
    ),
    "monotone misspelt": (added('monotone = "upwards"'), "[columns.grade] monotone",
                          "'upwards' is not valid: write one of up, down, any"),
    "monotone category": (added('monotone = "up"', kind="category"), "[columns.grade] monotone",
                          "a category has no direction"),
    "unknown key": (added('colour = "red"'), "[columns.grade] colour",
                    "there is no such key: write one of type, role, name, range"),
    "unknown language": (added('label = { de = "Note" }'), "[columns.grade] label",
                         "write words in en and es"),
    "words without a language": (added('help = "the grade"'), "[columns.grade] help",
                                 "write a sentence in en and es"),
    "synonym claimed twice": (
        added('headers = ["note"]') + added('headers = ["Note"]', "mark"), "[columns.mark] headers",
        "'Note' is a header of grade already",
    ),
    "header without a letter": (added('headers = ["—"]'), "[columns.grade] headers",
                                "'—' has no letter a to z"),
    "unit of a header that is no area": (
        '[columns.house_size]\nheaders = [{ header = "m2", unit = "yards" }]\n',
        "[columns.house_size] headers", "'yards' is no unit of area: write one of square feet",
    ),
    "unit of a header of a column without an area": (
        added('headers = [{ header = "m2", unit = "acres" }]'), "[columns.grade] headers",
        "a header with a unit needs a column whose unit is one of",
    ),
    "header of an unknown form": (added("headers = [7]"), "[columns.grade] headers",
                                  "[7] is not valid: write texts, or texts with a unit"),
    "latitude without longitude": (
        added('role = "latitude"', "lat", "number", "[46, 48]"), "[columns]",
        "latitude and longitude belong together",
    ),
    "latitude beyond the pole": (
        added('role = "latitude"', "lat", "number", "[46, 480]"), "[columns.lat] range",
        "46 to 480 are no degrees of latitude: write a range from -90 to 90",
    ),
    "left out and declared": (
        '[market]\nleave_out = ["city"]\n[columns.city]\nname = "town"\n', "[market] leave_out",
        "city is declared in [columns.city], too",
    ),
    "left out and unknown": ('[market]\nleave_out = ["roof"]\n', "[market] leave_out",
                             "there is no column 'roof'; there are brokered_by, status"),
    "left out as a text": ('[market]\nleave_out = "city"\n', "[market] leave_out",
                           "'city' is not a list: write leave_out = [\"city\"]"),
    "name that is no identifier": (added("", '"Year built"'), '[columns."Year built"] name',
                                   "'Year built' is no name: write small letters"),
    "name of two lines": (added("", r'"a\nb"'), r'[columns."a\nb"] name', "is no name"),
    "name of our own column": (added("", "row_hash"), "[columns.row_hash] name",
                               "row_hash has a meaning of its own here: write another name"),
    "name of an answer": (added("", "confidence"), "[columns.confidence] name", "another name"),
    "name of a parameter of addresses": (added("", "lang"), "[columns.lang] name", "another name"),
    "name of a method": (added("", "model_dump"), "[columns.model_dump] name", "another name"),
    "one name for two": (YEAR_BUILT + added('name = "year_built"'), "[columns]",
                         "two columns have the name year_built"),
    "name of another role": (added('name = "bed"'), "[columns.grade] role",
                             "a column bed has the role bedrooms"),
    "example out of range": (added("example = 14"), "[columns.grade] example",
                             "14 must be from 1 to 13 grade: write such a value"),
    "example of another type": (added('example = "maybe"', kind="boolean"),
                                "[columns.grade] example", "'maybe' must be true or false"),
    "example without quotes": (added("example = 2021-05-28", kind="date"),
                               "[columns.grade] example", 'example = "2021-05-28"'),
    "example that is no choice": (
        added('choices = ["a"]\nexample = "b"', kind="category"), "[columns.grade] example",
        "'b' is none of the choices",
    ),
    "example home without a place": (
        '[market]\nleave_out = ["zip_code"]\n'
        '[columns.state]\nname = "province"\ntype = "category"\nchoices = ["A", "B"]\n',
        "[columns.state] example", "'Texas' is none of the choices: write one of A, B",
    ),
    "example home without a size": (
        '[market]\nleave_out = ["bed", "acre_lot"]\n'
        '[columns.house_size]\nunit = "square meters"\n',
        "[columns]", "the example home has no size, which a new model is tried with: write an "
        "example for one of house_size",
    ),
    "statuses without a sale": (
        '[columns.status]\nsold = []\n', "[columns.status] sold",
        "is missing: write the choices that mean a sale",
    ),
    "sale that is no status": ('[columns.status]\nsold = ["gone"]\n', "[columns.status] sold",
                               "'gone' is none of the choices"),
    "sale of another column": (added('sold = ["a"]', kind="category"), "[columns.grade] sold",
                               "only a column with the role status has it"),
    "currency in words": ('[market]\ncurrency = "euro"\n', "[market] currency",
                          "'euro' is not valid: write three capital letters"),
    "prices upside down": ("[market]\nprice_range = [5, 1]\n", "[market] price_range",
                           "5 is not below 1"),
    "prices of nothing": ("[market]\nprice_range = [0, 9]\n", "[market] price_range",
                          "0 is not a price"),
    "key of the market": ('[market]\ncolour = "red"\n', "[market] colour",
                          "there is no such key: write one of name, title, currency"),
    "another table": ("[column.grade]\n", "[column]", "is no table of a market file"),
    "column that is no table": ("[columns]\ngrade = 7\n", "[columns] grade", "is not a table"),
    "market that is no table": ("market = 7\n", "market", "is not a table"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_file_is_refused_in_one_line_that_says_where_and_what(
    case: str, tmp_path: Path
) -> None:
    text, place, problem = BROKEN[case]
    path = written(tmp_path, text)
    with pytest.raises(InvalidMarketFile) as refused:
        read_market(path)

    words = str(refused.value)
    assert words.startswith(f"{path}: {place}")
    assert problem in words
    assert "\n" not in words


def test_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    for content in (b"[market\n", b"\xff\xfe", b"a = 1\na = 2\n"):
        path = tmp_path / "county.toml"
        path.write_bytes(content)
        read_market.cache_clear()
        with pytest.raises(InvalidMarketFile, match=r"county\.toml is not TOML: ") as refused:
            read_market(path)
        assert "\n" not in str(refused.value)


def test_file_that_is_too_large_or_missing_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "#" * (2**20 + 1))
    with pytest.raises(InvalidMarketFile, match="is larger than 1,048,576 bytes"):
        read_market(path)
    with pytest.raises(InvalidMarketFile, match="cannot be read: No such file"):
        read_market(tmp_path / "nowhere.toml")
    with pytest.raises(InvalidMarketFile, match="cannot be read: Is a directory"):
        read_market(tmp_path)


# ---- valid files --------------------------------------------------------------------------------


def test_built_in_declaration_round_trips() -> None:
    again = contract_of(json.loads(json.dumps(US_LISTINGS.declaration)), "bundle")

    assert again.version == US_LISTINGS.version
    assert [vars(column) for column in again.columns] == [
        vars(column) for column in US_LISTINGS.columns
    ]


def test_empty_file_is_the_built_in_market(tmp_path: Path) -> None:
    market = read_market(written(tmp_path, ""))

    assert market.name == "county"
    assert [vars(column) for column in market.columns] == [
        vars(column) for column in US_LISTINGS.columns
    ]


def test_king_county_has_its_columns_and_an_example_home() -> None:
    market = read_market(ROOT / "examples/king_county.toml")

    assert market.by_role[Role.LIVING_AREA].name == "sqft_living"
    assert not {"status", "state", "city", "brokered_by"} & market.by_name.keys()
    assert {"grade", "yr_built", "waterfront"} <= {column.key for column in market.extras}
    home = home_model(market)(**market.example_home)
    assert home.model_dump()["waterfront"] is False


def test_column_with_another_unit_forgets_what_holds_in_the_old_one(tmp_path: Path) -> None:
    market = read_market(
        written(
            tmp_path,
            '[columns.acre_lot]\nunit = "square meters"\nrange = [1, 1_000_000]\nexample = 600\n'
            'headers = ["lot_m2", { header = "acres", unit = "acres" }]\n',
        )
    )
    lot = market.by_role[Role.LOT_SIZE]

    assert (lot.usual, lot.step, lot.example) == (None, None, 600)
    assert set(lot.headers) == {"lot_m2", "acres"}
    assert parse_number(lot, "1 acre") == pytest.approx(4_046.86, abs=0.01)
    assert lot.help.get("en") is None, "it speaks of acres"


def test_id_can_be_a_text(tmp_path: Path) -> None:
    market = read_market(written(tmp_path, '[columns.street]\nname = "mls"\ntype = "category"\n'))

    assert market.by_role[Role.ID].range is None
    assert home_model(market)(state="Texas", bed=3, mls="MLS-1").model_dump()["mls"] > 0


def test_header_of_the_file_is_no_longer_one_of_a_built_in_column(tmp_path: Path) -> None:
    market = read_market(written(tmp_path, added('headers = ["beds"]', "sleeps", span="[1, 30]")))

    found = matched_columns(["beds", "bedrooms"], market)
    assert {header: column.name for header, column in found.items()} == {
        "beds": "sleeps",
        "bedrooms": "bed",
    }


# ---- any valid declaration ----------------------------------------------------------------------

names = st.from_regex(r"x[a-z0-9]{0,6}", fullmatch=True)
finite = {"allow_nan": False, "allow_infinity": False}


@st.composite
def tables(draw: st.DrawFn, role: Role) -> dict[str, Any]:
    """A column table of any type that the role allows, with a valid example."""
    kind = draw(st.sampled_from(sorted(kinds_of(role))))
    table: dict[str, Any] = {"type": str(kind)}
    if role is not Role.INPUT:
        table["role"] = str(role)
    if kind in (Kind.NUMBER, Kind.INTEGER):
        numbers: st.SearchStrategy[int | float] = (
            st.integers(-170, 170)
            if kind is Kind.INTEGER
            else st.floats(-170, 170, allow_subnormal=False, **finite)
        )
        if role is Role.LATITUDE:
            numbers = numbers.map(lambda each: max(-90, min(90, each)))
        low, example, high = sorted(draw(st.lists(numbers, min_size=3, max_size=3)))
        if low == high:
            low, high = low - 1, high + 1
        if role is Role.LATITUDE:
            low, high = min(low, 89), min(high, 90)
            low, high = (low, high) if -90 <= low < high else (-90, 90)
        # A living area or a number of bathrooms of 0 is unknown, and so no example.
        if role in ZERO_IS_UNKNOWN:
            low, example, high = sorted(abs(number) + 1 for number in (low, example, high))
            high += 1
        table |= {"range": [low, high], "example": min(max(example, low), high)}
        table["monotone"] = draw(st.sampled_from(["up", "down", "any"]))
    elif kind is Kind.BOOLEAN:
        table["example"] = draw(st.booleans())
    elif kind is Kind.DATE:
        table["example"] = str(draw(st.dates(FIRST_DATE, LAST_DATE)))
    elif role is Role.ZIP_CODE:
        table["example"] = f"{draw(st.integers(1, 99_999)):05d}"
    elif role is Role.STATUS:
        table |= {"choices": ["gone", "open"], "sold": ["gone"], "default": "open"}
    elif draw(st.booleans()) and role is Role.INPUT:
        choices = draw(st.lists(names, min_size=1, max_size=4, unique=True))
        table |= {"choices": choices, "example": draw(st.sampled_from(choices))}
    else:
        table["example"] = draw(names)
    return table


@st.composite
def declarations(draw: st.DrawFn) -> dict[str, Any]:
    """A whole declaration: a target, a place, a size, and whatever else."""
    wanted = {Role.TARGET, draw(st.sampled_from([Role.STATE, Role.ZIP_CODE, Role.LATITUDE]))}
    wanted.add(draw(st.sampled_from([Role.LIVING_AREA, Role.LOT_SIZE, Role.BEDROOMS])))
    optional = [role for role in KEYS if role is not Role.LONGITUDE]
    wanted |= draw(st.sets(st.sampled_from(optional)))
    if Role.LATITUDE in wanted:
        wanted.add(Role.LONGITUDE)
    extras = draw(st.lists(names, max_size=5, unique=True))
    columns = {KEYS[role]: draw(tables(role)) for role in sorted(wanted)}
    columns |= {name: draw(tables(Role.INPUT)) for name in extras}
    return {"market": {"name": "any"}, "columns": columns}


@settings(deadline=None, max_examples=200)
@given(declarations())
def test_example_home_of_any_declaration_is_valid(declaration: dict[str, Any]) -> None:
    market = contract_of(declaration, "any.toml")
    home = home_model(market).model_validate(dict(market.example_home))

    values = home.model_dump()
    assert set(values) == set(market.by_name)
    for name, example in market.example_home.items():
        assert values[name] is not None, (name, example)
    again = contract_of(json.loads(json.dumps(declaration)), "bundle")
    assert again.version == market.version
    found = matched_columns([column.name for column in market.columns], market)
    assert all(header == column.name for header, column in found.items())
