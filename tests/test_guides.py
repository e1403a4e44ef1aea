"""What the guides tell people to write works as it stands there.

The same steps end to end: `tests/assets/train/test_toy_candidate.py` and
`tests/assets/release/test_toy_gate.py`.
"""

import json
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from realtor_model.candidates import Candidate
from realtor_model.duel import relative_criteria
from realtor_model.duel.gate import Gate
from realtor_model.features import FEATURE_NAMES
from realtor_model.listing import Kind, Role, read_market
from realtor_model.listing.column import AREA, KEYS, kinds_of
from realtor_model.listing.declaration import ColumnTable, MarketTable

ROOT = Path(__file__).parents[1]


def python_blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)


def test_the_guides_candidate_is_fitted_written_and_restored(tmp_path: Path) -> None:
    (module,) = python_blocks("docs/guides/add-a-candidate.md")
    names: dict[str, Any] = {"__name__": "guide"}
    exec(module, names)
    candidate: Candidate = names["RIDGE"]
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, len(FEATURE_NAMES))).astype(np.float32)
    price = np.exp(12.0 + x[:, 0] / 4)

    fitted = candidate.fit(x, price)
    fitted.save(tmp_path)

    attributes = json.loads((tmp_path / "estimator.json").read_text())
    restored = candidate.estimator.restored(tmp_path, attributes)
    assert np.array_equal(restored.predict_log(x), fitted.predict_log(x))
    assert np.corrcoef(fitted.predict_log(x), np.log(price))[0, 1] > 0.9


@pytest.mark.parametrize(("worse", "passed"), [(0, True), (1, True), (10, False)])
def test_the_guides_gate_answers(worse: int, passed: bool) -> None:
    function, declaration, limit = python_blocks("docs/guides/add-a-gate.md")
    names = dict(vars(relative_criteria))
    exec(function + declaration, names)
    gate: Gate = names["FAR_OFF"]
    assert gate.relative
    price = np.full(1_000, 200_000.0)
    estimates = np.where(np.arange(1_000) < worse, 450_000.0, 210_000.0)
    before, after = (
        SimpleNamespace(price=price, predicted=predicted) for predicted in (price, estimates)
    )
    name, _, value = limit.partition(": float = ")
    duel = SimpleNamespace(
        beside_champion=SimpleNamespace(before=before, after=after),
        policy=SimpleNamespace(**{name.strip(): float(value)}),
    )

    answer = gate.ask(cast("Any", duel))

    assert answer.passed is passed
    assert answer.figures["after"] == worse / 1_000


COLUMNS_GUIDE = "docs/guides/your-own-columns.md"


def test_the_guides_market_files_are_valid(tmp_path: Path) -> None:
    text = (ROOT / COLUMNS_GUIDE).read_text()
    blocks = re.findall(r"^( *)```toml\n(.*?)^ *```", text, re.M | re.S)
    files = [re.sub(rf"^{indent}", "", block, flags=re.M) for indent, block in blocks]
    for number, content in enumerate(files[:2]):
        path = tmp_path / f"{number}.toml"
        path.write_text(content)
        read_market(path)
    # The steps towards King County say what the shipped file says.
    shipped = tomllib.loads((ROOT / "examples/king_county.toml").read_text())
    steps = files[2:]
    assert len(steps) == 5
    for content in steps:
        for table, keys in tomllib.loads(content).items():
            if table == "market":
                assert keys == shipped["market"]
                continue
            for name, column in keys.items():
                for key, value in column.items():
                    assert shipped["columns"][name][key] == value, f"{name} {key}"


def test_the_guide_lists_every_key_type_role_and_unit() -> None:
    text = (ROOT / COLUMNS_GUIDE).read_text()

    def first_cells(heading: str) -> list[str]:
        section = text.partition(f"### {heading}\n")[2].partition("\n#")[0]
        cells = re.findall(r"^\| (.*?) \|", section, re.M)[1:]
        return re.findall(r"`([a-z_]+)`", " ".join(cells))

    assert set(first_cells("`[columns.NAME]`")) == set(ColumnTable.model_fields)
    assert set(first_cells("`[market]`")) == set(MarketTable.model_fields)
    assert first_cells("Types") == list(Kind)
    assert set(first_cells("Roles")) == set(Role)
    assert all(f"`{unit}`" in text for unit in AREA)
    for role, key in KEYS.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{role}`")
                   or f", `{role}` |" in line)  # fmt: skip
        assert all(kind in row for kind in kinds_of(role)) or role in ("latitude", "longitude")
        assert f"`{key}`" in row or role in ("latitude", "longitude")
