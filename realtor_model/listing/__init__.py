"""The listing contract of a market: its columns, their valid values, and the readers of values.

All readers share the declaration and the parsers: `read_home` reads one home, and
`realtor_model.reading` reads files, tables of homes, and batches of listings.
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
from realtor_model.listing.convention import Convention
from realtor_model.listing.declaration import InvalidMarketFile, contract_of
from realtor_model.listing.headers import Matching, Source, match_headers, matched_columns
from realtor_model.listing.home_reader import InvalidHome, ReadHome, parsed_value, read_home
from realtor_model.listing.market_file import US_LISTINGS, read_market
from realtor_model.listing.parsing import (
    InvalidValue,
    is_missing,
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
from realtor_model.listing.table_reading import TableReading, read_conventions

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
    "Convention",
    "FieldProblem",
    "Home",
    "InvalidHome",
    "InvalidMarketFile",
    "InvalidValue",
    "Kind",
    "ListingContract",
    "Matching",
    "Property",
    "Range",
    "ReadHome",
    "Role",
    "Source",
    "TableReading",
    "as_asked",
    "as_sold",
    "columns_from_properties",
    "contract_of",
    "field_problems",
    "home_model",
    "is_missing",
    "match_headers",
    "matched_columns",
    "not_a_choice",
    "out_of_range",
    "own_statuses",
    "parse",
    "parse_number",
    "parsed_value",
    "parser",
    "properties_from_columns",
    "read_conventions",
    "read_home",
    "read_market",
    "status_of",
    "without_frames",
]
