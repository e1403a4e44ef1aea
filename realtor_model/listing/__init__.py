"""The listing contract of a market: its columns, their valid values, and the readers of values.

Two readers share the declaration and the parsers: `check` reads a batch from the upstream, `Home`
reads one home to value.
"""

from realtor_model.listing.column import COORDINATES, CORE_KEYS, KEYS, Column, Kind, Range, Role
from realtor_model.listing.contract import (
    FIRST_DATE,
    LAST_DATE,
    STATUSES,
    TARGET,
    WHOLE_TOLERANCE,
    Columns,
    ListingContract,
)
from realtor_model.listing.headers import matched_columns
from realtor_model.listing.market_file import (
    US_LISTINGS,
    InvalidMarketFile,
    contract_of,
    read_market,
)
from realtor_model.listing.parsing import (
    InvalidValue,
    not_a_choice,
    out_of_range,
    parse,
    parse_number,
    parser,
    status_of,
)
from realtor_model.listing.problems import FieldProblem, field_problems
from realtor_model.listing.property import (
    Home,
    Property,
    as_asked,
    as_sold,
    columns_from_properties,
    home_model,
    own_statuses,
    properties_from_columns,
    without_frames,
)
from realtor_model.listing.received_batch import (
    SchemaChanged,
    check,
    normalise,
    raw_schema,
    required_columns,
    unused_headers,
)

# Built-in market only; being replaced by the contract everywhere.
COLUMNS = US_LISTINGS.table_keys
INPUTS = US_LISTINGS.keys
RANGES = {column.key: column.range for column in US_LISTINGS.columns if column.range is not None}
WHOLE_NUMBERS = tuple(column.key for column in US_LISTINGS.inputs if column.is_whole)
NUMBERS = tuple(key for key in INPUTS if US_LISTINGS.is_number(key))
TEXTS = ("status", "city", "state", "zip_code")
EXAMPLE_HOME = US_LISTINGS.example_home
VALUATION_PRICE_RANGE = US_LISTINGS.price_range
RAW_SCHEMA = raw_schema(US_LISTINGS)


def parse_text(name: str, value: object) -> object:
    """Transitional."""
    return parse(US_LISTINGS.by_key[name], value)
