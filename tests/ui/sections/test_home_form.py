"""The form of any market: which inputs it shows where, and how addresses carry a home."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtor_model.listing import US_LISTINGS, ListingContract
from realtor_ui.responses import Input
from realtor_ui.sections import home_form, what_if
from tests.ui.markets import EVERY_KIND, HOME, KING_COUNTY, model_info

EVERY_INFO = model_info(EVERY_KIND)


def number(low: float, high: float, **more: Any) -> Input:
    return Input(
        type=more.pop("type", "number"), role="input", key="x", label={}, help={}, headers={},
        moves_estimate=True, low=low, high=high, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("contract", "rows", "more"),
    [
        (US_LISTINGS,
         [["state"], ["city", "zip_code"], ["house_size", "acre_lot"], ["bed", "bath"]],
         ["status", "prev_sold_date", "brokered_by", "street"]),
        (KING_COUNTY,
         [["zipcode"], ["lat", "long"], ["sqft_living", "sqft_lot"], ["bedrooms", "bathrooms"],
          ["floors", "waterfront"], ["view", "condition"], ["grade", "sqft_above"],
          ["sqft_basement", "yr_built"], ["yr_renovated", "sqft_living15"], ["sqft_lot15"]],
         ["date", "id"]),
    ],
)  # fmt: skip
def test_likely_inputs_come_first_and_added_ones_are_visible(
    contract: ListingContract, rows: list[list[str]], more: list[str]
) -> None:
    visible, below = home_form._layout(model_info(contract))
    assert [names for names, _ in visible] == rows
    assert below == more


def test_inputs_beyond_the_visible_ones_are_under_more_details() -> None:
    info = model_info(EVERY_KIND)
    many = {f"x{i}": number(0, 9) for i in range(20)}
    info = info.model_copy(update={"inputs": {**info.inputs, **many}})
    rows, more = home_form._layout(info)
    shown = [name for names, _ in rows for name in names]

    assert "year_built" in shown
    assert "x0" in shown
    assert "x19" in more
    assert set(shown) | set(more) == set(info.inputs)
    assert len(shown) + len(more) == len(info.inputs)


def test_address_carries_every_input() -> None:
    query = home_form.to_url(HOME, EVERY_INFO)

    assert set(query) == set(EVERY_INFO.inputs) == set(HOME)
    assert query["waterfront"] == "true"
    assert home_form.from_url(query, EVERY_INFO) == HOME


values = st.one_of(st.text(max_size=200), st.integers().map(str), st.floats().map(str))


@given(st.dictionaries(st.sampled_from([*EVERY_INFO.inputs, "lang", "x"]), values))
def test_any_address_gives_a_home_that_the_form_can_show(query: dict[str, str]) -> None:
    home = home_form.from_url(query, EVERY_INFO)
    possible = home_form._possible(home, EVERY_INFO)

    assert set(possible) <= set(home) <= set(EVERY_INFO.inputs)
    for name, value in possible.items():
        column = EVERY_INFO.inputs[name]
        if column.is_number:
            assert column.low is not None
            assert column.high is not None
            assert column.low <= value <= column.high
    again = home_form.from_url(home_form.to_url(home, EVERY_INFO), EVERY_INFO)
    assert again == home or any(str(value) != str(value).strip() for value in home.values())


@pytest.mark.parametrize(
    ("column", "now", "expected"),
    [
        (number(1, 100, type="integer", usual=(1, 8)), 3, [1, 2, 3, 4, 5, 6, 7, 8]),
        (number(1, 100, type="integer", usual=(1, 4)), 7, [1, 2, 3, 4, 5, 6, 7]),
        (number(1, 5, step=0.5), None, [1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5]),
        (number(0, 100, step=0.5, usual=(1, 3)), 0.75, [0.5, 1, 1.5, 2, 2.5, 3]),
        (number(0, 100, type="integer", usual=(1, 3)), 0, [0, 1, 2, 3]),
    ],
)
def test_curve_shows_each_step_of_the_usual_range(
    column: Input, now: float | None, expected: list[float]
) -> None:
    assert what_if.grid(column, now) == expected


def test_curve_over_a_wide_range_has_a_limited_number_of_points() -> None:
    lot = number(0, 100_000, step=0.05, usual=(0.05, 5.0))
    assert what_if.grid(lot, 0.2) == sorted(
        {round(0.05 + 4.95 / 24 * each, 2) for each in range(25)}
    )


ends = st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)).filter(lambda two: two[0] < two[1])


@given(ends, st.floats(0, 1), st.sampled_from([None, 0.25, 1.0, 100.0]))
def test_curve_stays_within_the_range(
    span: tuple[float, float], share: float, step: float | None
) -> None:
    low, high = span
    column = number(low, high, step=step)
    grid = what_if.grid(column, low + share * (high - low))

    assert 0 <= len(grid) <= what_if.STEPS + 1
    assert all(low <= each <= high for each in grid)
    assert grid == sorted(grid)
