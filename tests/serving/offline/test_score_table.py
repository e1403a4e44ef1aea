"""Files are valued by the model the service serves, row by row, whole or not at all."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from realtor_model.features import as_sold, columns_from_frame
from realtor_model.valuation.bundle import load_bundle
from realtor_model.valuation.valuation_model import ValuationModel
from realtor_serving.offline.score_table import ESTIMATES, UnusableFile, score_file
from tests.serving.running import listings


@pytest.fixture
def homes() -> pd.DataFrame:
    frame = listings(500, seed=9).assign(note='a "quoted", text\nof two lines')
    frame.loc[3, "bed"] = 101
    frame.loc[5, ["state", "zip_code"]] = None
    return frame


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype={"zip_code": str}, low_memory=False)


@pytest.mark.parametrize("source", ["in.csv", "in.parquet"])
@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
def test_every_row_gets_an_estimate_or_a_reason(
    tmp_path: Path, homes: pd.DataFrame, model: ValuationModel, source: str, target: str
) -> None:
    if source.endswith("csv"):
        homes.to_csv(tmp_path / source, index=False)
    else:
        homes.to_parquet(tmp_path / source)
    seen: list[int] = []

    report = score_file(
        tmp_path / source, tmp_path / target, model, progress=seen.append, chunk_rows=150
    )

    assert (report.rows, report.valued, report.failed) == (500, 498, 2)
    assert seen == [150, 300, 450, 500]
    out = read(tmp_path / target)
    assert list(out["note"]) == list(homes["note"])
    assert list(out["zip_code"].fillna("")) == list(homes["zip_code"].fillna(""))
    assert out.loc[[3, 5], "estimated_price"].isna().all()
    assert "bed is" in out.loc[3, "error"]
    assert "state or zip_code is required" in out.loc[5, "error"]
    valued = ~homes.index.isin([3, 5])
    assert out.loc[valued, "error"].isna().all()
    expected = model.value(as_sold(columns_from_frame(homes[valued])))
    np.testing.assert_allclose(out.loc[valued, "estimated_price"], expected.price, atol=0.01)
    np.testing.assert_allclose(out.loc[valued, "estimated_high"], expected.high, atol=0.01)
    assert list(out.loc[valued, "confidence"]) == list(expected.confidence)


def test_nan_is_missing_and_old_estimates_are_replaced(
    tmp_path: Path, model: ValuationModel
) -> None:
    frame = pd.DataFrame(
        {"state": ["Texas"], "house_size": [1500.0], "bed": [np.nan], "error": ["old"]}
    )
    frame.to_parquet(tmp_path / "in.parquet")

    score_file(tmp_path / "in.parquet", tmp_path / "out.parquet", model)

    out = read(tmp_path / "out.parquet")
    assert list(out.columns) == ["state", "house_size", "bed", *ESTIMATES.names]
    assert pd.isna(out.loc[0, "error"])
    assert out.loc[0, "estimated_price"] > 0


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("homes.csv", "", "homes.csv: the file is empty"),
        ("homes.csv", "a,b\n1,2\n", "none of its columns"),
        ("homes.csv", "state,bed,bed\nTexas,3,3\n", "two columns have the header bed"),
        ("homes.csv", 'state,bed\nTexas,3\nOhio,"3\n', "quotation mark"),
        ("homes.csv", "\x1f\x8b\x08", "compressed by gzip"),
        ("homes.parquet", "PAR1 damaged", "homes.parquet: the file is damaged"),
    ],
)
def test_failed_scoring_leaves_no_file(
    tmp_path: Path, model: ValuationModel, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text, "latin-1")

    with pytest.raises(UnusableFile, match=words):
        score_file(tmp_path / name, tmp_path / "out.csv", model)

    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path, model: ValuationModel) -> None:
    (tmp_path / "in.csv").write_text("state,bed\nTexas,3\n")
    (tmp_path / "out.csv").mkdir()

    with pytest.raises(UnusableFile, match=r"in\.csv into .*out\.csv: "):
        score_file(tmp_path / "in.csv", tmp_path / "out.csv", model)


def test_a_missing_file_is_named(tmp_path: Path, model: ValuationModel) -> None:
    with pytest.raises(UnusableFile, match=r"nowhere\.csv"):
        score_file(tmp_path / "nowhere.csv", tmp_path / "out.csv", model)


KILLED = """
import os, signal, sys
from pathlib import Path
from realtor_model.valuation.bundle import load_bundle
from realtor_serving.offline.score_table import score_file

def killed(rows):
    if rows >= 380:
        os.kill(os.getpid(), signal.SIGKILL)

source, target, bundle = map(Path, sys.argv[1:])
score_file(source, target, load_bundle(bundle), progress=killed, chunk_rows=40)
"""


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_killed_run_resumes(tmp_path: Path, homes: pd.DataFrame, bundle: Path, suffix: str) -> None:
    source, target, whole = (tmp_path / f"{name}.{suffix}" for name in ("in", "out", "whole"))
    homes.to_csv(source, index=False) if suffix == "csv" else homes.to_parquet(source)
    command = [sys.executable, "-c", KILLED, source, target, bundle]
    killed = subprocess.run(command, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not target.exists()

    model = load_bundle(bundle)
    report = score_file(source, target, model, chunk_rows=40)
    unbroken = score_file(source, whole, model, chunk_rows=40)

    # Two parts of four chunks are whole by then.
    assert (report.resumed, unbroken.resumed) == (320, 0)
    assert (report.rows, report.valued, report.failed) == (500, 498, 2)
    pd.testing.assert_frame_equal(read(target), read(whole))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        path.name for path in (source, target, whole)
    )


def test_other_rows_or_another_model_start_anew(
    tmp_path: Path, homes: pd.DataFrame, model: ValuationModel
) -> None:
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    homes.to_parquet(source)

    class Stopped(Exception): ...

    def stop(rows: int) -> None:
        if rows >= 380:
            raise Stopped

    other = replace(model, metadata=model.metadata | {"trained_at": "2026-03-01T00:00:00+00:00"})
    for change in ("model", "rows", "nothing"):
        with pytest.raises(Stopped):
            score_file(source, target, model, progress=stop, chunk_rows=40)
        if change == "rows":
            homes[::-1].to_parquet(source)
        again = score_file(source, target, other if change == "model" else model, chunk_rows=40)
        assert again.resumed == (320 if change == "nothing" else 0)
        assert again.rows == 500


def test_second_run_on_the_same_file_is_refused(
    tmp_path: Path, homes: pd.DataFrame, model: ValuationModel
) -> None:
    source, target = tmp_path / "in.parquet", tmp_path / "out.csv"
    homes.to_parquet(source)
    told: list[str] = []

    def another(rows: int) -> None:
        with pytest.raises(UnusableFile, match="another run is writing it") as refused:
            score_file(source, target, model)
        told.append(str(refused.value))

    assert score_file(source, target, model, progress=another).rows == 500
    assert told


def test_the_command_line(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "in.csv").write_text("state,house_size\nTexas,1500\n")
    command = [
        sys.executable,
        "-m",
        "realtor_serving.offline.score_table",
        "in.csv",
        "out.csv",
        "--bundle",
    ]

    good = subprocess.run([*command, bundle], cwd=tmp_path, capture_output=True, text=True)
    bad = subprocess.run([*command, "nowhere"], cwd=tmp_path, capture_output=True, text=True)

    assert good.returncode == 0, good.stderr
    assert "1 of 1 homes valued" in good.stdout
    assert read(tmp_path / "out.csv")["estimated_price"].iloc[0] > 0
    assert bad.returncode == 1
    assert "manifest.json" in bad.stderr


def test_rows_that_do_not_fit_get_an_error_of_their_own(
    tmp_path: Path, model: ValuationModel
) -> None:
    text = "state;house_size;note\nTexas;1500;a\nTexas;1500;b;9\nTexas;1500\nTexas;1500;\xf1\n"
    (tmp_path / "in.csv").write_text(text, "cp1252")

    report = score_file(tmp_path / "in.csv", tmp_path / "out.csv", model)

    assert (report.valued, report.failed) == (2, 2)
    out = read(tmp_path / "out.csv")
    assert list(out.columns) == ["state", "house_size", "note", *ESTIMATES.names]
    assert list(out["note"].fillna("")) == ["a", "b", "", "\xf1"]
    assert list(out["error_codes"].fillna("")) == ["", *["row_does_not_fit"] * 2, ""]
    assert out["error"][1] == "the row has 4 cells, but the header has 3"
    assert list(out["estimated_price"].notna()) == [True, False, False, True]


@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
def test_columns_of_any_type_come_out(tmp_path: Path, model: ValuationModel, target: str) -> None:
    states = pa.array(["Texas", None, "Ohio"], pa.string_view())
    table = pa.table(
        {
            "state": pa.array(["Texas", "Texas", "Ohio"]),
            "house_size": pa.array([1500, 1500, 1500]),
            "view": states,
            "coded": pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.uint32()), states),
            "tags": pa.array([["a"], None, []]),
        }
    )
    with pa.ipc.new_stream(tmp_path / "in.arrow", table.schema) as stream:
        stream.write_table(table)

    assert score_file(tmp_path / "in.arrow", tmp_path / target, model).valued == 3

    out = read(tmp_path / target)
    assert [text if isinstance(text, str) else None for text in out["coded"]] == states.to_pylist()
    assert [text if isinstance(text, str) else None for text in out["view"]] == states.to_pylist()


def test_spellings_and_contradictions_of_places(tmp_path: Path, model: ValuationModel) -> None:
    places = [("Texas", "Houston"), ("TX", "HOUSTON"), (None, None), ("Ohio", "Columbus")]
    frame = pd.DataFrame(places, columns=["state", "city"])
    frame.assign(zip_code="77002", house_size=1500, bed=3).to_csv(tmp_path / "in.csv", index=False)

    score_file(tmp_path / "in.csv", tmp_path / "out.csv", model)

    out = read(tmp_path / "out.csv")
    assert out["estimated_price"].nunique() == 1
    assert out["warning_codes"].fillna("").tolist() == ["", "", "", "place_contradiction"]
    assert list(out["state"].fillna("")) == ["Texas", "TX", "", "Ohio"]
