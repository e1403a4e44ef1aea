"""A market of a test's own: other names, coordinates, and an added column of every type."""

from pathlib import Path
from typing import Any

import numpy as np

from realtor_model.listing import ListingContract, read_market

HARBOR = """
[market]
name = "harbor"
currency = "CAD"
price_range = [50_000, 5_000_000]
leave_out = ["status", "state", "city", "brokered_by"]

[columns.street]
name = "parcel"

[columns.price]
name = "sale_price"

[columns.prev_sold_date]
name = "sold_on"

[columns.latitude]
type = "number"
role = "latitude"
range = [48, 50]
unit = "degrees"

[columns.longitude]
type = "number"
role = "longitude"
range = [-124, -121]
unit = "degrees"

[columns.bed]
name = "bedrooms"
range = [0, 100]

[columns.bath]
type = "number"
name = "bathrooms"
range = [0, 100]

[columns.acre_lot]
type = "integer"
name = "lot_sqft"
range = [0, 10_000_000_000]
unit = "square feet"
help = { en = "Size of the lot, square feet" }

[columns.year_built]
type = "integer"
range = [1800, 2100]
help = { en = "Year in which the house was built" }

[columns.ceiling]
type = "number"
range = [1, 10]
unit = "meters"

[columns.waterfront]
type = "boolean"

[columns.order]
type = "category"
choices = ["first", "second"]

[columns.renovated_on]
type = "date"
"""


def harbor(folder: Path, changes: str = "") -> Path:
    """The market file, with further tables."""
    path = folder / "harbor.toml"
    path.write_text(HARBOR + changes)
    return path


def harbor_contract(folder: Path) -> ListingContract:
    return read_market(harbor(folder))


def sales(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """n sales of the market as an upstream sends them, with gaps."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        size, year = int(random.integers(600, 4_000)), int(random.integers(1900, 2024))
        latitude, water = float(random.uniform(49, 49.3)), bool(random.random() < 0.2)
        price = 120.0 * size * (1.3 if water else 1.0) * (latitude - 48) + 500.0 * (year - 1900)
        rows.append(
            {
                "parcel": float(seed * 1_000_000 + number),
                "sale_price": round(price * float(random.lognormal(0, 0.1)), 2),
                "sold_on": f"{random.integers(2019, 2024)}-0{random.integers(1, 10)}-15",
                "bedrooms": float(random.integers(0, 6)),
                "bathrooms": float(random.integers(1, 17)) / 4,
                "lot_sqft": float(random.integers(1_000, 40_000)),
                "zip_code": float(random.integers(98_001, 98_020)),
                "house_size": float(size),
                "latitude": latitude,
                "longitude": float(random.uniform(-123.2, -123.0)),
                "year_built": float(year),
                "ceiling": round(float(random.uniform(2.2, 4)), 2),
                "waterfront": water if random.random() < 0.9 else None,
                "order": str(random.choice(["first", "second"])),
                "renovated_on": f"{year}-06-01" if random.random() < 0.3 else None,
            }
        )
    return rows
