"""Files as people have them, and how the app reads them."""

import io
from typing import Any

import pandas as pd

from realtor_model.listing import US_LISTINGS, ListingContract
from realtor_ui.uploads.opening import OpenedFile, open_upload
from realtor_ui.uploads.understanding import Chosen, Understanding, understand_file
from tests.ui.markets import model_info

TRAILING_COMMAS = (
    b"state,city,zip_code,bed,bath,house_size\n"
    b"Texas,Houston,77002,3,2,1800,\n"
    b"Connecticut,Hartford,06114,2,1,1100,\n"
)
MONEY_AND_UNITS = (
    "state,zip_code,bed,bath,house_size,acre_lot,price\n"
    'Texas,77002,3 bd,2.5 ba,"1,800 sq ft","5,227 sqft","$350,000"\n'
    'Connecticut,06114,4,3,214 m²,0.25 acres,"$415,500"\n'
).encode()
REDFIN = (
    b"SALE TYPE,SOLD DATE,ADDRESS,CITY,STATE OR PROVINCE,ZIP OR POSTAL CODE,PRICE,BEDS,BATHS,"
    b"SQUARE FEET,LOT SIZE,YEAR BUILT,STATUS\n"
    b"PAST SALE,March-15-2022,12 Sample St,Houston,TX,77002,421000,3,2.5,1800,5227,1948,Sold\n"
    b"MLS Listing,,4 Sample Ave,Austin,TX,78701,255000,2,1.5,1100,1800,1999,Active\n"
)
SCRAPER = (
    b"property_url,status,street,city,state,zip_code,beds,full_baths,half_baths,sqft,list_price,"
    b"sold_price,last_sold_date,lot_sqft\n"
    b"x,SOLD,12 Sample St,Houston,TX,77002,3,2,1,1800,425000,421000,2022-03-15,5227\n"
    b"y,FOR_SALE,4 Sample Ave,Austin,TX,78701,2,1,,1100,255000,,,\n"
)
INDEX_AND_TOTAL = (
    b",state,zip_code,bed,house_size\n0,Texas,77002,3,1800\n1,Ohio,43215,2,1100\nTotal,,,5,2900\n"
)


def csv(*rows: dict[str, Any]) -> bytes:
    return pd.DataFrame(list(rows)).to_csv(index=False).encode()


def parquet(frame: pd.DataFrame) -> bytes:
    """A Parquet file with the frame's index, as pandas writes it."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def opened(content: bytes, *, sheet: str | None = None, most_rows: int = 1_000) -> OpenedFile:
    return open_upload(content, US_LISTINGS, most_rows=most_rows, sheet=sheet)


def understood(
    content: bytes, chosen: Chosen | None = None, contract: ListingContract = US_LISTINGS
) -> Understanding:
    file = open_upload(content, contract, most_rows=1_000)
    return understand_file(file, model_info(contract), contract, chosen or {})
