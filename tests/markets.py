"""A market of a user's own, with a column of every kind: for tests of every surface."""

from pathlib import Path

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
