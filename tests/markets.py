"""A market of a user's own, with a column of every kind: for tests of every surface."""

from pathlib import Path

import numpy as np
import pandas as pd

from realtor_model.listing import ListingContract, read_market

PORTO = """
[market]
title = { en = "Porto", es = "Oporto" }
currency = "EUR"
price_range = [20_000, 5_000_000]
leave_out = ["brokered_by", "state", "zip_code"]

[columns.street]
name = "cadastre"
type = "category"
label = { en = "Cadastre", es = "Catastro" }

[columns.status]
choices = ["on offer", "deed signed", "ready_to_build"]
sold = ["deed signed"]
default = "on offer"
required = false
label = { en = "Status", es = "Estado" }

[columns.price]
name = "preco"
range = [1, 99_000_000]
unit = "euros"
headers = ["valor"]

[columns.city]
name = "parish"
example = "Ribeira"

[columns.latitude]
type = "number"
role = "latitude"
name = "lat"
range = [41.0, 41.4]
unit = "degrees"
example = 41.15

[columns.longitude]
type = "number"
role = "longitude"
name = "lon"
range = [-8.8, -8.4]
unit = "degrees"
example = -8.61

[columns.bed]
name = "rooms"
range = [0, 40]

[columns.bath]
type = "number"
range = [0, 40]
step = 0.5

[columns.house_size]
name = "floor_area"
range = [5, 5_000]
unit = "square meters"
step = 5
usual = [30, 300]
headers = ["area_util", { header = "floor_area_sqft", unit = "square feet" }]
label = { en = "Floor area", es = "Superficie" }
example = 90

[columns.acre_lot]
name = "plot"
range = [0, 1_000_000]
unit = "square meters"
example = 120.5

[columns.prev_sold_date]
name = "deed_date"

[columns.year_built]
type = "integer"
range = [1500, 2100]
unit = "(year)"
monotone = "up"
headers = ["ano", "Año de construcción"]
label = { en = "Year built", es = "Año de construcción" }
help = { en = "Year of the license", es = "Año de la licencia" }
example = 1975

[columns.energy]
type = "category"
choices = ["A", "B", "C", "D"]
label = { en = "Energy class", es = "Clase energética" }
example = "C"

[columns.architect]
type = "category"

[columns.lift]
type = "boolean"
label = { en = "Lift", es = "Ascensor" }
example = true

[columns.renovated]
type = "date"
label = { en = "Renovated", es = "Renovación" }
"""


def porto(folder: Path) -> ListingContract:
    """The contract of `PORTO`, written as a market file into `folder`."""
    path = folder / "porto.toml"
    path.write_text(PORTO)
    return read_market(path)


def porto_listings(rows: int, seed: int) -> pd.DataFrame:
    """Sales as a file of the market has them: size times a rate that falls with the age."""
    rng = np.random.default_rng(seed)
    area, year = rng.integers(30, 300, rows), rng.integers(1900, 2025, rows)
    lift, lat = rng.random(rows) < 0.5, rng.uniform(41.1, 41.2, rows).round(4)
    rate = 2_000 + 8 * (year - 1900) + 300 * lift + 10_000 * (lat - 41.1)
    return pd.DataFrame({
        "cadastre": [f"U-{seed}-{row}" for row in range(rows)],
        "status": rng.choice(["on offer", "deed signed"], rows, p=[0.2, 0.8]),
        "valor": np.round(area * rate * np.exp(rng.normal(0, 0.05, rows))),
        "parish": rng.choice(["Ribeira", "Bonfim"], rows),
        "lat": lat,
        "lon": rng.uniform(-8.65, -8.55, rows).round(4),
        "rooms": np.clip(area // 30, 0, 8),
        "bath": np.clip(area // 60, 1, 4) + 0.5 * (year > 2000),
        "floor_area": area,
        "plot": rng.uniform(50, 500, rows).round(1),
        "deed_date": "2025-03-01",
        "ano": year,
        "energy": rng.choice(["A", "B", "C", "D"], rows),
        "architect": rng.choice(["Siza", "Souto", "Tavora"], rows),
        "lift": lift,
        "renovated": np.where(year < 1990, "2010-06-01", None),
    })  # fmt: skip
