"""The whole model: kept and read bit for bit, refused when anything changed, explained in full."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import realtor_model
from realtor_model.candidates import CANDIDATES, THIN_ROWS
from realtor_model.features import FEATURE_NAMES, as_sold, columns_from_properties, take
from realtor_model.libraries import distribution_of, library_version
from realtor_model.listing import US_LISTINGS, Property
from realtor_model.messages import CodedMessage, message
from realtor_model.retraining import drift
from realtor_model.valuation.bundle import (
    BrokenBundle,
    UnreadableBundle,
    load_bundle,
    outdated_libraries,
    save_bundle,
)
from realtor_model.valuation.intervals import (
    COVERAGES,
    DEVIATION,
    RANGE,
    Calibration,
    Ranges,
    Spans,
)
from realtor_model.valuation.valuation_model import NoSoldHomes, ValuationModel
from tests.model.conftest import Market

Columns = dict[str, NDArray[Any]]
Floats = NDArray[np.float64]
ModelOf = Callable[[str], ValuationModel]


@pytest.fixture
def saved(model_of: ModelOf, tmp_path: Path) -> Path:
    save_bundle(model_of("xgboost"), tmp_path / "bundle")
    return tmp_path / "bundle"


def test_kept_and_read_it_is_the_same(
    model: ValuationModel, homes: Columns, tmp_path: Path
) -> None:
    save_bundle(model, tmp_path / "bundle")
    again = load_bundle(tmp_path / "bundle")

    for one, other in ((model.predict, again.predict),):
        assert np.array_equal(one(homes), other(homes))
    ours, theirs = model.value(homes), again.value(homes)
    assert np.array_equal(ours.low, theirs.low)
    assert np.array_equal(ours.high, theirs.high)
    assert list(ours.confidence) == list(theirs.confidence)
    assert again.metadata == model.metadata
    assert again.profile == model.profile
    assert again.candidate == model.candidate
    assert again.price_range == model.price_range


ELSEWHERE = """
import importlib.abc, sys

class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Nothing())
from pathlib import Path
import numpy as np
from realtor_model.valuation.bundle import load_bundle
homes = dict(np.load({homes!r}, allow_pickle=True))
values = load_bundle(Path({bundle!r})).value(homes)
np.savez({out!r}, price=values.price, low=values.low, high=values.high)
print(sorted(set(name.partition(".")[0] for name in sys.modules) & {absent!r}))
"""


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_it_values_bit_for_bit_alike_with_only_the_model_installed(
    model_of: ModelOf, homes: Columns, candidate: str, tmp_path: Path
) -> None:
    model = model_of(candidate)
    save_bundle(model, tmp_path / "bundle")
    np.savez(tmp_path / "homes.npz", **homes)
    absent = {
        "realtor_assets", "realtor_serving", "realtor_ui", "realtor_local", "dagster", "mlflow",
        "bentoml", "starlette", "httpx", "psycopg", "sqlalchemy", "streamlit", "shap",
        "optuna", "matplotlib",
    }  # fmt: skip
    script = ELSEWHERE.format(
        absent=absent,
        homes=str(tmp_path / "homes.npz"),
        bundle=str(tmp_path / "bundle"),
        out=str(tmp_path / "out.npz"),
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "[]"

    ours, theirs = model.value(homes), np.load(tmp_path / "out.npz")
    for name in ("price", "low", "high"):
        assert np.array_equal(getattr(ours, name).view(np.uint64), theirs[name].view(np.uint64))


@pytest.mark.parametrize(
    ("candidate", "part", "of", "limit_mb"),
    [
        ("random_forest", {"n_estimators": 4}, 200 / 4, 200.0),
        ("gradient_boosting", {"max_iter": 20}, 200 / 20, 50.0),
        ("xgboost", {"n_estimators": 20}, 500 / 20, 50.0),
    ],
)
def test_it_stays_small_on_the_largest_data(
    candidate: str, part: dict[str, int], of: float, limit_mb: float, tmp_path: Path
) -> None:
    # Prices that nothing explains: trees grow as large as their limits let them, and a few trees
    # tell the size of all.
    rng = np.random.default_rng(0)
    n = THIN_ROWS
    x = rng.normal(size=(n, len(FEATURE_NAMES))).astype(np.float32)
    model = CANDIDATES[candidate].fit(
        x, np.exp(rng.normal(12.0, 1.0, n)), hyperparameters=part, importance=False
    )
    model.save(tmp_path)

    size = (tmp_path / model.file_name).stat().st_size / 1e6
    # 15 MB for maps of the whole country.
    assert size * of + 15.0 < limit_mb


def test_sold_homes_and_market_are_kept_whole(saved: Path, model_of: ModelOf) -> None:
    model, again = model_of("xgboost"), load_bundle(saved)
    assert model.sold_homes is not None
    assert model.market is not None
    assert again.sold_homes is not None
    assert again.market is not None

    assert list(again.sold_homes.id) == list(model.sold_homes.id)
    assert np.array_equal(again.sold_homes.price, model.sold_homes.price)
    for name, values in model.sold_homes.columns.items():
        assert again.sold_homes.columns[name].dtype == values.dtype
        np.testing.assert_array_equal(again.sold_homes.columns[name], values)
    pd.testing.assert_frame_equal(again.market.table, model.market.table)


def test_a_bundle_from_before_there_were_sold_homes_serves_on(
    model_of: ModelOf, homes: Columns, tmp_path: Path
) -> None:
    model = replace(model_of("xgboost"), sold_homes=None, market=None)
    save_bundle(model, tmp_path / "bundle")
    again = load_bundle(tmp_path / "bundle")

    assert again.sold_homes is again.market is None
    assert np.array_equal(again.predict(homes), model.predict(homes))
    with pytest.raises(NoSoldHomes, match="no sold homes"):
        again.compare({name: values[:1] for name, values in homes.items()})


def test_a_bundle_is_whole_before_it_has_its_name(saved: Path, model_of: ModelOf) -> None:
    before = {file.name for file in saved.iterdir()}
    save_bundle(model_of("linear_regression"), saved)

    assert load_bundle(saved).candidate == "linear_regression"
    assert [path.name for path in saved.parent.iterdir()] == ["bundle"]
    assert before - {file.name for file in saved.iterdir()} == {"model.ubj"}


def test_a_failed_save_leaves_what_was_there(saved: Path, model_of: ModelOf) -> None:
    broken = replace(model_of("xgboost"), metadata={"metrics": float("nan")})
    with pytest.raises(ValueError, match="JSON compliant"):
        save_bundle(broken, saved)

    assert [path.name for path in saved.parent.iterdir()] == ["bundle"]
    assert load_bundle(saved).candidate == "xgboost"


@pytest.mark.parametrize(
    "name",
    ["encoding_mappings.parquet", "preprocessing_statistics.parquet", "estimator.json",
     "model.ubj", "zip_context.parquet", "spans.ubj", "calibration.json", "profile.json",
     "sold_homes.parquet", "market.parquet"],
)  # fmt: skip
def test_a_file_that_changed_or_went_is_named(saved: Path, name: str) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BrokenBundle, match=f"{name} is not the file that was saved"):
        load_bundle(saved)

    (saved / name).unlink()
    with pytest.raises(BrokenBundle, match=f"{name} is missing"):
        load_bundle(saved)
    with pytest.raises(BrokenBundle, match=r"cannot be read"):
        load_bundle(saved, verify=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "has format 99; this version reads 2"),
        ({"feature_version": "0"}, "was made with features 0 and this version has"),
        ({"files": None}, "cannot be read"),
    ],
)
def test_another_kind_of_bundle_is_refused(
    saved: Path, change: dict[str, Any], message: str
) -> None:
    manifest = json.loads((saved / "manifest.json").read_text()) | change
    if change.get("files", 0) is None:
        del manifest["files"]
    (saved / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(BrokenBundle, match=message):
        load_bundle(saved)


def test_a_bundle_of_feature_version_2_is_served(saved: Path, homes: Columns) -> None:
    expected = load_bundle(saved).value(homes)
    manifest = json.loads((saved / "manifest.json").read_text()) | {"feature_version": "2"}
    (saved / "manifest.json").write_text(json.dumps(manifest))

    assert np.array_equal(load_bundle(saved).value(homes).price, expected.price)


def test_bundle_of_another_format_or_feature_version_is_unreadable_but_intact(saved: Path) -> None:
    for change in ({"format": 99}, {"feature_version": "0"}):
        manifest = json.loads((saved / "manifest.json").read_text()) | change
        (saved / "manifest.json").write_text(json.dumps(manifest))

        with pytest.raises(UnreadableBundle):
            load_bundle(saved)


@pytest.mark.parametrize("library", ["xgboost", "scikit-learn", "skops"])
def test_bundle_is_refused_when_a_library_is_older_than_its_writer(
    saved: Path, library: str
) -> None:
    newer = ".".join([library_version(library).partition(".")[0], "999", "1"])
    rewrite_version(saved, library, newer)

    with pytest.raises(
        UnreadableBundle, match=rf"pip install '{distribution_of(library)}>={newer}'"
    ) as refused:
        load_bundle(saved)
    assert f"{library} {library_version(library)} installed, {newer} needed" in str(refused.value)


def test_bundle_loads_when_a_library_is_newer_than_its_writer(saved: Path) -> None:
    for library in ("xgboost", "scikit-learn", "skops"):
        rewrite_version(saved, library, "0.1")

    assert load_bundle(saved).candidate == "xgboost"


def test_bundle_loads_when_only_parquet_readers_are_older_than_its_writer(saved: Path) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    assert set(manifest["read_by"]) == {"xgboost"}
    for library in ("python", "numpy", "pandas", "pyarrow"):
        rewrite_version(saved, library, "999.0")

    assert load_bundle(saved).candidate == "xgboost"


def test_libraries_of_the_writer_decide_when_an_older_bundle_names_no_readers(saved: Path) -> None:
    rewrite_version(saved, "numpy", "999.0")
    manifest = json.loads((saved / "manifest.json").read_text())
    del manifest["read_by"], manifest["realtor"]
    (saved / "manifest.json").write_text(json.dumps(manifest))
    assert load_bundle(saved).candidate == "xgboost"

    manifest["versions"]["xgboost"] = "999.0"
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UnreadableBundle, match=r"999\.0 needed"):
        load_bundle(saved)


def test_bundle_is_refused_when_a_library_is_not_installed(saved: Path) -> None:
    rewrite_version(saved, "a-library-of-tomorrow", "1.0")

    with pytest.raises(UnreadableBundle, match=r"a-library-of-tomorrow is not installed, 1\.0"):
        load_bundle(saved)


def rewrite_version(bundle: Path, library: str, written: str) -> None:
    """Make the manifest say that `library` was at version `written` when the bundle was saved."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["versions"][library] = written
    if library not in ("python", "numpy", "pandas", "pyarrow"):
        manifest["read_by"][library] = written
    (bundle / "manifest.json").write_text(json.dumps(manifest))


releases = st.lists(st.integers(0, 30), min_size=3, max_size=3)


@given(needed=releases, local=st.sampled_from(["", "+cpu", "+cu129"]))
def test_library_is_outdated_exactly_when_its_release_is_lower(
    needed: list[int], local: str
) -> None:
    installed = [int(part) for part in library_version("xgboost").split(".")]
    written_by = {"xgboost": ".".join(map(str, needed)) + local}

    assert bool(outdated_libraries(written_by)) is (installed < needed)


@pytest.mark.parametrize("written", ["main", "", "3.x"])
def test_library_is_outdated_when_the_writers_version_cannot_be_compared(written: str) -> None:
    assert outdated_libraries({"xgboost": written}) == {
        "xgboost": (library_version("xgboost"), written)
    }


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenBundle, match=r"manifest\.json cannot be read"):
        load_bundle(tmp_path)


def test_the_manifest_tells_what_is_inside(saved: Path) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())

    assert manifest["feature_names"] == list(FEATURE_NAMES)
    assert set(manifest["files"]) | {"manifest.json"} == {file.name for file in saved.iterdir()}
    assert {"python", "xgboost"} <= set(manifest["versions"])
    assert manifest["realtor"] == realtor_model.__version__
    assert not [file for file in saved.iterdir() if file.suffix in (".pkl", ".joblib")]


# ---- valuations -----------------------------------------------------------------------------


def test_a_valuation_lies_in_its_range(model: ValuationModel, homes: Columns) -> None:
    values = model.value(homes)

    assert np.array_equal(values.price, model.predict(homes))
    assert np.all((values.low < values.price) & (values.price < values.high))
    assert set(values.confidence) <= {"high", "medium", "low"}


def test_the_range_holds_the_price_as_often_as_promised(
    model: ValuationModel, market: Market
) -> None:
    values = model.value(market.test.columns)
    covered = (values.low <= market.test.price) & (market.test.price <= values.high)

    assert covered.mean() == pytest.approx(0.8, abs=0.06)


class NoSpans(Spans):
    """Spans of nothing: a range is its margin."""

    def __init__(self) -> None: ...

    def predict(self, x: NDArray[np.float32]) -> dict[float, tuple[Floats, Floats]]:
        return {coverage: (np.zeros(len(x)), np.zeros(len(x))) for coverage in COVERAGES}


@pytest.mark.parametrize(
    ("half_width", "grade"), [(0.10, "high"), (0.16, "medium"), (0.29, "medium"), (0.50, "low")]
)
def test_confidence_is_the_calibrated_68_percent_width(
    model_of: ModelOf, homes: Columns, half_width: float, grade: str
) -> None:
    calibration = Calibration((), {RANGE: (0.6,), DEVIATION: (half_width,)})
    values = replace(model_of("xgboost"), ranges=Ranges(NoSpans(), calibration)).value(homes)

    known = [row for row in range(len(values.price)) if row not in values.warnings]
    assert len(known) > 100
    assert set(values.confidence[known]) == {grade}
    assert values.deviation == pytest.approx(np.sinh(half_width))
    assert values.high == pytest.approx(values.price * np.exp(0.6))


@pytest.mark.parametrize(
    ("half_width", "known", "doubtful"),
    [(0.10, "high", "medium"), (0.16, "medium", "low"), (0.5, "low", "low")],
)
def test_what_training_never_met_is_one_grade_less_certain(
    model_of: ModelOf, half_width: float, known: str, doubtful: str
) -> None:
    calibration = Calibration((), {RANGE: (0.6,), DEVIATION: (half_width,)})
    model = replace(model_of("xgboost"), ranges=Ranges(NoSpans(), calibration))
    placed = {"state": "Ohio", "zip_code": "44101", "house_size": 1500, "bed": 3}
    asked = [
        placed | {"brokered_by": 999_999},
        placed | {"zip_code": "44199"},
        placed | {"city": "Atlantis"},
        placed | {"city": "Ohio City 0", "zip_code": None},
        placed | {"house_size": 900_000},
        placed | {"zip_code": None},
        placed | {"zip_code": None, "city": "Atlantis"},
        placed | {"state": "Utopia", "zip_code": None},
    ]
    columns = as_sold(columns_from_properties([Property.model_validate(each) for each in asked]))

    told = list(model.value(columns).confidence)
    assert told[:5] == [known, *[doubtful] * 4]
    # Placed by nothing but the state, or the country: two grades.
    assert told[5:] == ["low"] * 3


def test_an_explanation_is_additive(model: ValuationModel, homes: Columns) -> None:
    few = {name: values[:30] for name, values in homes.items()}
    told = model.explain(few)

    assert told.additivity_error.max() < 1e-4
    assert told.feature_names == FEATURE_NAMES
    assert set(told.inputs) == set(US_LISTINGS.keys) - {"street"}
    assert told.by_input_log.sum(axis=1) == pytest.approx(told.contributions_log.sum(axis=1))
    dollars = told.base_price + told.by_input_dollars.sum(axis=1)
    assert dollars == pytest.approx(model.predict(few), rel=1e-4)
    size = [FEATURE_NAMES.index(name) for name in (
        "log_house_size", "house_size_missing", "land_only", "sqft_per_bed",
    )]  # fmt: skip
    assert told.by_input_log[:, told.inputs.index("house_size")] == pytest.approx(
        told.contributions_log[:, size].sum(axis=1)
    )


def test_homes_are_warned_of_when_the_model_learned_from_no_sale(
    model_of: ModelOf, market: Market
) -> None:
    columns = market.train.columns
    offered = take(columns, np.flatnonzero(columns["status"] == "for_sale"))
    unsold = replace(model_of("xgboost"), profile=drift.profile(offered))

    as_if_sold = unsold.value(as_sold(offered)).warnings

    assert len(as_if_sold) == len(offered["status"])
    assert all(coded[0].code == "no_sales_learned" for coded in as_if_sold.values())
    as_offered = unsold.value(offered).warnings.values()
    assert "no_sales_learned" not in {each.code for coded in as_offered for each in coded}


def test_warnings_name_what_makes_a_valuation_less_certain(model_of: ModelOf) -> None:
    ohio, house = {"state": "Ohio"}, {"house_size": 1500, "bed": 3}
    placed = ohio | {"zip_code": "44101"}
    no_size = message("input_missing", input="house_size")
    no_bed = message("input_missing", input="bed")
    land = message("valued_as_land")
    asked: list[tuple[dict[str, Any], list[CodedMessage]]] = [
        (placed | house, []),
        (
            ohio | house | {"zip_code": "99999", "city": "Atlantis"},
            [
                message("unknown_place", input="city", value="Atlantis"),
                message("unknown_place", input="zip_code", value="99999"),
            ],
        ),
        (
            {"state": "Utopia", "bed": 3},
            [message("unknown_place", input="state", value="Utopia"), no_size],
        ),
        (ohio | house, [message("no_zip_code", placed_by="state")]),
        (ohio | house | {"city": "Ohio City 0"}, [message("no_zip_code", placed_by="city")]),
        (placed | {"house_size": 1500}, [no_bed]),
        (placed | {"acre_lot": 0.3}, [land]),
        (placed | {"acre_lot": 0.3, "bath": 2}, [no_size, no_bed]),
    ]
    columns = as_sold(columns_from_properties([Property.model_validate(home) for home, _ in asked]))
    warnings = model_of("xgboost").value(columns).warnings

    assert [warnings.get(row, []) for row in range(len(asked))] == [coded for _, coded in asked]


def test_a_number_outside_the_learned_range_is_warned_of_in_whole_numbers(
    model_of: ModelOf,
) -> None:
    model = model_of("xgboost")
    home = {"state": "Ohio", "zip_code": "44101", "house_size": 900_000, "bed": 90}
    columns = as_sold(columns_from_properties([Property.model_validate(home)]))
    fewest, most = (int(each) for each in model.encoder.ranges["bed"])

    beds, size = model.value(columns).warnings[0]
    assert beds == message(
        "outside_learned_range", input="bed", value=90, low=fewest, high=most, unit="bedrooms"
    )
    assert beds.text == (
        f"bed 90 is outside the range the model learned from: {fewest} to {most} bedrooms."
    )
    assert size.params["value"] == 900_000
    assert all(isinstance(size.params[end], int) for end in ("low", "high"))
    assert size.text.startswith("house_size 900,000 is")
    assert size.text.endswith("square feet.")
