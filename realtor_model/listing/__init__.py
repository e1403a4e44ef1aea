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
from realtor_model.listing.declaration import InvalidMarketFile, contract_of
from realtor_model.listing.headers import matched_columns
from realtor_model.listing.market_file import US_LISTINGS, read_market
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

__all__ = [
    "COORDINATES",
    "CORE_KEYS",
    "FIRST_DATE",
    "KEYS",
    "LAST_DATE",
    "STATUSES",
    "TARGET",
    "US_LISTINGS",
    "WHOLE_TOLERANCE",
    "Column",
    "Columns",
    "FieldProblem",
    "Home",
    "InvalidMarketFile",
    "InvalidValue",
    "Kind",
    "ListingContract",
    "Property",
    "Range",
    "Role",
    "SchemaChanged",
    "as_asked",
    "as_sold",
    "check",
    "columns_from_properties",
    "contract_of",
    "field_problems",
    "home_model",
    "matched_columns",
    "normalise",
    "not_a_choice",
    "out_of_range",
    "own_statuses",
    "parse",
    "parse_number",
    "parser",
    "properties_from_columns",
    "raw_schema",
    "read_market",
    "required_columns",
    "status_of",
    "unused_headers",
    "without_frames",
]
