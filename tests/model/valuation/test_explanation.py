"""Contributions of missing place inputs count for the input that places the home."""

import numpy as np
import pytest

from realtor_model.valuation.explanation import Explanation, counted_for_place

INPUTS = ("city", "state", "zip_code", "house_size")


def explanation(rows: list[list[float]]) -> Explanation:
    log = np.array(rows, float)
    return Explanation(12.0, 12.0 + log.sum(axis=1), (), log, INPUTS, log, log * 1e5)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"zip_code", "city", "state"}, [0.1, 0.2, 0.3, 0.4]),
        ({"zip_code"}, [0.0, 0.0, 0.6, 0.4]),
        ({"zip_code", "state"}, [0.0, 0.2, 0.4, 0.4]),
        ({"city", "state"}, [0.4, 0.2, 0.0, 0.4]),
        ({"state"}, [0.0, 0.6, 0.0, 0.4]),
        (set(), [0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_the_narrowest_given_input_gets_them(given: set[str], expected: list[float]) -> None:
    masks = {key: np.array([key in given]) for key in ("zip_code", "city", "state")}
    counted = counted_for_place(explanation([[0.1, 0.2, 0.3, 0.4]]), masks)

    assert counted.by_input_log[0] == pytest.approx(expected)
    assert counted.by_input_dollars[0] == pytest.approx(np.array(expected) * 1e5)
    assert counted.predicted_log == pytest.approx([13.0])


def test_each_row_has_its_own_and_one_home_is_repeated() -> None:
    masks = {"zip_code": np.array([True, False]), "city": np.array([False, True])}
    of_rows = counted_for_place(explanation([[1, 2, 4, 8], [16, 32, 64, 128]]), masks)
    of_one = counted_for_place(explanation([[1, 2, 4, 8]]), masks)

    assert of_rows.by_input_log.tolist() == [[0, 2, 5, 8], [80, 32, 0, 128]]
    assert of_one.by_input_log.tolist() == [[0, 2, 5, 8], [5, 2, 0, 8]]


def test_inputs_that_the_market_lacks_are_left_out() -> None:
    masks = {"latitude": np.array([True]), "zip_code": np.array([False])}
    counted = counted_for_place(explanation([[1, 2, 4, 8]]), masks)
    assert counted.by_input_log.tolist() == [[1, 2, 4, 8]]
