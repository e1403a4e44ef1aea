"""Keys of cities: one for all spellings, and never one for two cities of a state."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtor_model.listing.place_keys import city_key, state_key
from realtor_model.listing.zip_places import zip_places


@pytest.mark.parametrize(
    "spellings",
    [
        ("Saint Louis", "St. Louis", "ST LOUIS", "st.louis", "Saint\u00a0Louis", " saint  louis "),
        ("Fort Worth", "Ft. Worth", "FT WORTH"),
        ("Mount Vernon", "Mt. Vernon", "Mt Vernon"),
        ("La Cañada Flintridge", "La Canada Flintridge", "La Can\u0303ada-Flintridge"),
        ("O'Fallon", "O\u2019Fallon", "OFallon", "O Fallon"),
        ("Winston-Salem", "Winston Salem"),
        ("Coeur d'Alene", "Coeur D Alene"),
        ("Sault Sainte Marie", "Sault Ste. Marie"),
        ("North Las Vegas", "N. Las Vegas"),
        ("DeSoto", "De Soto"),
    ],
)
def test_spellings_of_a_city_have_one_key(spellings: tuple[str, ...]) -> None:
    assert len(set(map(city_key, spellings))) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("Saint Louis", "Saint Louis Park"), ("Stanton", "St. Anton"), ("Mountain View", "Mount View"),
     ("Fort", "Port"), ("東京", "大阪"), (".", "-")],
)  # fmt: skip
def test_other_cities_have_other_keys(one: str, other: str) -> None:
    assert city_key(one) != city_key(other)


def test_no_two_cities_of_a_state_have_one_key() -> None:
    names = defaultdict(set)
    for place in zip_places().values():
        names[place.state, city_key(place.city)].add(place.city)

    assert {key: cities for key, cities in names.items() if len(cities) > 1} == {}


@given(city=st.sampled_from(sorted({place.city for place in zip_places().values()})))
def test_the_key_of_a_city_is_its_own_key(city: str) -> None:
    """So keys that are stored can be read as names."""
    assert city_key(city_key(city)) == city_key(city)
    assert city_key(city)


def test_unknown_states_differ_by_their_letters_alone() -> None:
    assert state_key(" Nuevo\u00a0León") == state_key("NUEVO  LEÓN") == "nuevo león"
    assert state_key("Jalisco") != state_key("Sonora")
