"""One feature path, exact from its tables, and no row sees its own price."""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from realtor_model.candidates import CANDIDATES
from realtor_model.features import (
    FEATURE_NAMES,
    LEVELS,
    FeatureEncoder,
    as_sold,
    columns_from_frame,
    columns_from_properties,
    features_of,
)
from realtor_model.listing import US_LISTINGS, Property
from realtor_model.reading.received_batch import check
from tests.model.conftest import AS_OF, Listed, Market, received


def bits(matrix: NDArray[np.float32]) -> NDArray[np.uint32]:
    return matrix.view(np.uint32)


def feature(matrix: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    return matrix[:, FEATURE_NAMES.index(name)]


def home(**values: Any) -> dict[str, NDArray[Any]]:
    return columns_from_properties([Property.model_validate(values)])


def homes_of(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(strategy, min_size=1, max_size=40)


ANY_HOME = st.fixed_dictionaries(
    {"state": st.sampled_from(["Connecticut", "TEXAS", "Nowhere"]), "bed": st.integers(1, 100)},
    optional={
        "zip_code": st.sampled_from(["06010", "77005", "99999", "00601", "33199"]),
        "city": st.sampled_from(["Texas City 1", "texas city 1", "Atlantis"]),
        "brokered_by": st.integers(0, 100),
        "street": st.integers(0, 2**31 - 1),
        "bath": st.integers(1, 100),
        "acre_lot": st.floats(0, 100_000),
        "house_size": st.integers(50, 1_000_000),
        "status": st.sampled_from(["for_sale", "sold", "ready_to_build"]),
        "prev_sold_date": st.dates(dt.date(1900, 1, 1), dt.date(2100, 12, 31)),
    },
)


@settings(max_examples=80, deadline=None)
@given(values=homes_of(ANY_HOME))
def test_a_row_is_transformed_alike_alone_and_among_others(
    market: Market, values: list[dict[str, Any]]
) -> None:
    properties = [Property.model_validate(each) for each in values]

    together = market.encoder.transform(columns_from_properties(properties))
    alone = [market.encoder.transform(columns_from_properties([each])) for each in properties]

    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    assert np.array_equal(bits(together), bits(np.vstack(alone)))


def test_listings_and_properties_are_transformed_alike(market: Market) -> None:
    frame = market.test.frame[market.test.frame["bed"].notna()]
    rows = (
        frame[list(US_LISTINGS.keys)]
        .astype(object)
        .where(frame[list(US_LISTINGS.keys)].notna(), None)
    )
    properties = [Property.model_validate(row) for row in rows.to_dict("records")]

    from_frame = market.encoder.transform(columns_from_frame(frame))
    from_properties = market.encoder.transform(columns_from_properties(properties))

    assert np.array_equal(bits(from_frame), bits(from_properties))


def test_a_frame_read_back_from_a_database_is_the_same(market: Market) -> None:
    frame = market.test.frame
    read_back = frame.astype(
        dict.fromkeys(("brokered_by", "bed", "bath", "street", "house_size"), "float64")
        | dict.fromkeys(("status", "city", "state", "zip_code"), object)
        | {"prev_sold_date": "datetime64[s]"}
    )
    again = market.encoder.transform(columns_from_frame(read_back))

    assert np.array_equal(bits(again), bits(market.encoder.transform(market.test.columns)))


def test_the_tables_are_the_whole_state(market: Market) -> None:
    mappings, statistics, context, _ = market.encoder.to_tables()
    assert set(mappings["column_name"]) == set(LEVELS)
    assert mappings[["log_price", "log_price_per_sqft"]].notna().all(axis=None)

    shuffled = (each.sample(frac=1, random_state=1) for each in (mappings, statistics, context))
    rebuilt = FeatureEncoder.from_tables(*shuffled)

    for rows in (market.train, market.test):
        assert np.array_equal(
            bits(rebuilt.transform(rows.columns)), bits(market.encoder.transform(rows.columns))
        )
    for one, other in zip(rebuilt.to_tables()[:3], (mappings, statistics, context), strict=True):
        key = list(one.columns[:2])
        pd.testing.assert_frame_equal(
            one.sort_values(key, ignore_index=True), other.sort_values(key, ignore_index=True)
        )


def test_incomplete_tables_are_refused(market: Market) -> None:
    mappings, statistics, context, _ = market.encoder.to_tables()
    with pytest.raises(ValueError, match="encoding_mappings lacks parent"):
        FeatureEncoder.from_tables(mappings.drop(columns="parent"), statistics, context)
    with pytest.raises(ValueError, match="preprocessing_statistics lacks"):
        FeatureEncoder.from_tables(mappings, statistics[statistics["feature"] != "bed"], context)
    with pytest.raises(ValueError, match="zip_context lacks latitude"):
        FeatureEncoder.from_tables(mappings, statistics, context.drop(columns="latitude"))


def test_a_feature_changes_only_with_its_declared_inputs(market: Market) -> None:
    assert set(features_of(US_LISTINGS).inputs_of) == set(FEATURE_NAMES)
    columns = market.test.columns
    matrix = market.encoder.transform(columns)
    rng = np.random.default_rng(3)
    moved: dict[str, set[str]] = {name: set() for name in FEATURE_NAMES}
    for name in US_LISTINGS.keys:
        others = columns[name][rng.permutation(len(matrix))]
        # Without a state a zip tells it; with one it does not.
        for base in (columns, columns | {"state": np.full(len(matrix), None, object)}):
            changed = bits(market.encoder.transform(base | {name: others})) != bits(
                market.encoder.transform(dict(base))
            )
            for feature_name in np.array(FEATURE_NAMES)[changed.any(axis=0)]:
                moved[feature_name].add(name)

    # Where every zip is known, a city and a state say nothing more of where a home lies.
    assert {name: inputs - {"city", "state"} for name, inputs in moved.items()} == {
        name: set(inputs) - {"city", "state"}
        for name, inputs in features_of(US_LISTINGS).inputs_of.items()
    }
    for name, inputs in moved.items():
        assert inputs <= set(features_of(US_LISTINGS).inputs_of[name])


# ---- leakage --------------------------------------------------------------------------------


def test_no_train_row_sees_its_own_price(market: Market) -> None:
    rows = market.train
    same_home = rows.frame.groupby(["street", "city", "zip_code"], dropna=False)["price"]
    repeated = np.flatnonzero(same_home.transform("size").to_numpy() > 1)[0]
    members = np.flatnonzero(same_home.ngroup() == same_home.ngroup()[repeated])
    assert len(members) > 1
    for chosen in ([17], members):
        price = rows.price.copy()
        price[chosen] *= 7.0
        _, changed = FeatureEncoder.fit(rows.columns, price, as_of=AS_OF)

        assert np.array_equal(bits(changed[chosen]), bits(market.matrix[chosen]))
        assert not np.array_equal(changed, market.matrix)


def test_codes_do_not_depend_on_prices(market: Market) -> None:
    encoder, _ = FeatureEncoder.fit(market.train.columns, market.train.price[::-1], as_of=AS_OF)
    ours, theirs = (each.described(market.test.columns) for each in (encoder, market.encoder))
    for name in ("state_code", "city_code", "zip_code_code", "brokered_by_code"):
        assert np.array_equal(ours[name], theirs[name])
        assert ours[name].max() > 3


def test_z_scores_have_mean_nought_and_deviation_one(market: Market) -> None:
    described = market.encoder.described(market.train.columns)
    for name in ("bed", "bath", "acre_lot", "house_size"):
        assert described[f"{name}_z"].mean() == pytest.approx(0.0, abs=1e-9)
        assert described[f"{name}_z"].std() == pytest.approx(1.0)


def test_groups_are_left_out(market: Market) -> None:
    rows = market.train
    without = ("home_value", "broker", "coordinates")
    encoder, matrix = FeatureEncoder.fit(rows.columns, rows.price, as_of=AS_OF, without=without)
    kept = [i for i, name in enumerate(FEATURE_NAMES) if name in encoder.feature_names]

    assert len(kept) == matrix.shape[1] == len(FEATURE_NAMES) - 9
    assert np.array_equal(bits(matrix), bits(market.matrix[:, kept]))
    rebuilt = FeatureEncoder.from_tables(*encoder.to_tables())
    assert rebuilt.feature_names == encoder.feature_names
    with pytest.raises(ValueError, match="no feature group race; there are: home"):
        FeatureEncoder.fit(rows.columns, rows.price, as_of=AS_OF, without=["race"])


def test_a_model_of_noise_finds_nothing(market: Market) -> None:
    noise = [
        np.exp(np.random.default_rng(seed).normal(12.5, 0.8, len(rows.price)))
        for seed, rows in enumerate((market.train, market.validation, market.test))
    ]
    encoder, matrix = FeatureEncoder.fit(market.train.columns, noise[0], as_of=AS_OF)
    estimator = CANDIDATES["xgboost"].fit(
        matrix, noise[0], encoder.transform(market.validation.columns), noise[1]
    )
    predicted = estimator.predict_log(encoder.transform(market.test.columns))
    in_fit = estimator.predict_log(matrix)

    actual = np.log(noise[2])
    r2 = 1 - np.sum((predicted - actual) ** 2) / np.sum((actual - actual.mean()) ** 2)
    fitted = np.corrcoef(in_fit, np.log(noise[0]))[0, 1] ** 2
    assert r2 <= 0.05
    # A leak through the train matrix would be learnt at once, and stop only by the validation.
    assert fitted <= 0.5


def test_thin_zips_of_noise_do_not_correlate_with_their_own_price() -> None:
    rows = Listed(check(received(2000, seed=9))[0])
    columns = rows.columns
    columns["zip_code"] = np.array([f"{number % 1500 + 501:05d}" for number in range(2000)], object)
    price = np.exp(np.random.default_rng(3).normal(12.5, 0.8, 2000))

    encoder, matrix = FeatureEncoder.fit(columns, price, as_of=AS_OF)

    def correlation(values: NDArray[np.float32]) -> float:
        return float(np.corrcoef(feature(values, "zip_log_price"), np.log(price))[0, 1])

    assert abs(correlation(matrix)) < 0.1
    assert correlation(encoder.transform(columns)) > 0.2  # what in-sample means would have told


# ---- what features mean ---------------------------------------------------------------------


def test_unknown_places_take_what_surrounds_them(market: Market) -> None:
    encoder = market.encoder
    mappings = encoder.to_tables().encoding_mappings.set_index(["column_name", "category"])

    def zip_log_price(**values: Any) -> float:
        return float(feature(encoder.transform(home(bed=3, **values)), "zip_log_price")[0])

    def fitted(level: str, category: str) -> float:
        return float(np.float32(mappings.loc[(level, category), "log_price"]))

    assert zip_log_price(zip_code="06010", state="Ohio") == fitted("zip_code", "06010")
    assert zip_log_price(zip_code="06099", state="Ohio") == fitted("zip3", "060")
    assert zip_log_price(city="ohio city 2", state="OHIO") == fitted("city", "ohiocity2|ohio")
    assert zip_log_price(zip_code="99999", state="Ohio") == fitted("state", "ohio")
    assert zip_log_price(zip_code="99999") == pytest.approx(np.log(market.train.price).mean())


def test_a_missing_state_is_that_of_the_zip(market: Market) -> None:
    with_state = market.encoder.transform(home(bed=3, zip_code="77002", state="Texas"))
    without = market.encoder.transform(home(bed=3, zip_code="77002"))

    assert np.array_equal(with_state, without)


def test_means_are_shrunk_to_the_parent(market: Market) -> None:
    mappings = market.encoder.to_tables().encoding_mappings.set_index(["column_name", "category"])
    own = np.log(market.train.price[market.train.frame["zip_code"] == "06010"])
    row = mappings.loc[("zip_code", "06010")]
    parent = mappings.loc[("zip3", row["parent"]), "log_price"]

    assert row["listings"] == len(own)
    assert row["log_price"] == pytest.approx((own.sum() + 10 * parent) / (len(own) + 10))


def test_the_date_of_a_sale_is_never_a_tenure(market: Market) -> None:
    asked = home(bed=3, state="Ohio", status="for_sale", prev_sold_date="2021-05-06")
    sold = home(bed=3, state="Ohio", status="sold", prev_sold_date="2022-03-20")
    named = {
        name: (feature(market.encoder.transform(asked), name)[0],
               feature(market.encoder.transform(sold), name)[0])
        for name in ("prev_sale_known", "days_since_prev_sale", "prev_sale_month", "sale_month")
    }  # fmt: skip

    assert named["prev_sale_known"] == (1, 0)
    assert named["days_since_prev_sale"][0] == 365
    assert named["prev_sale_month"][0] == 5
    assert named["sale_month"] == (0, -2)


def test_as_sold_masks_status_and_date(market: Market) -> None:
    asked = home(bed=3, state="Ohio", status="for_sale", prev_sold_date="2021-05-06")
    nothing_known = home(bed=3, state="Ohio", status="ready_to_build")

    assert np.array_equal(
        market.encoder.transform(as_sold(asked)), market.encoder.transform(as_sold(nothing_known))
    )
    assert feature(market.encoder.transform(as_sold(asked)), "is_sold")[0] == 1
    assert asked["status"][0] == "for_sale"


def test_missing_sizes_are_imputed_and_marked(market: Market) -> None:
    matrix = market.encoder.transform(home(acre_lot=2.0, state="Ohio"))

    typical = np.nanmedian(market.train.columns["house_size"])
    assert feature(matrix, "log_house_size")[0] == np.float32(np.log(typical))
    assert feature(matrix, "house_size_missing")[0] == 1
    assert feature(matrix, "land_only")[0] == 1
    assert feature(matrix, "acre_lot_missing")[0] == 0


def test_extreme_sizes_count_as_the_extreme_of_training(market: Market) -> None:
    matrix = market.encoder.transform(home(house_size=1_000_000, state="Ohio"))

    largest = np.log(market.encoder.ranges["house_size"][1])
    assert feature(matrix, "log_house_size")[0] == np.float32(largest)


def test_fit_is_deterministic_and_refuses_nonsense(market: Market) -> None:
    rows = market.train
    again = FeatureEncoder.fit(rows.columns, rows.price, as_of=dt.date(2022, 5, 6))[1]
    assert np.array_equal(bits(again), bits(market.matrix))

    for price, folds in ((rows.price * 0, 5), (rows.price[:-1], 5), (rows.price, 1)):
        with pytest.raises(ValueError, match=r"positive price|folds is 1"):
            FeatureEncoder.fit(rows.columns, price, as_of=AS_OF, folds=folds)


def test_a_market_with_nothing_but_prices_and_states() -> None:
    frame, broken = check(
        received(50).assign(
            **dict.fromkeys(
                ["brokered_by", "bed", "bath", "acre_lot", "city", "zip_code", "house_size",
                 "prev_sold_date", "street"]
            )
        )
    )  # fmt: skip
    assert broken.empty

    encoder, matrix = FeatureEncoder.fit(
        columns_from_frame(frame), frame["price"].to_numpy(), as_of=AS_OF
    )

    assert np.isfinite(matrix).all()
    rebuilt = FeatureEncoder.from_tables(*encoder.to_tables())
    full = home(bed=3, state="Ohio", zip_code="44101", house_size=1500)
    assert np.array_equal(bits(rebuilt.transform(full)), bits(encoder.transform(full)))
