"""The listing contract: the 12 columns, their valid values, and the parsers of received values.

Two readers share the parsers and ranges: `check` reads a batch from the upstream, `Property` reads
one home to value.
"""

from realtor_model.listing.contract import (
    COLUMNS,
    EXAMPLE_HOME,
    FIRST_DATE,
    INPUTS,
    LAST_DATE,
    NUMBERS,
    RANGES,
    STATUSES,
    TARGET,
    TEXTS,
    VALUATION_PRICE_RANGE,
    WHOLE_NUMBERS,
    WHOLE_TOLERANCE,
)
from realtor_model.listing.parsing import parse_text
from realtor_model.listing.problems import FieldProblem, field_problems
from realtor_model.listing.property import (
    Columns,
    Property,
    as_asked,
    as_sold,
    columns_from_properties,
    properties_from_columns,
    without_frames,
)
from realtor_model.listing.received_batch import RAW_SCHEMA, SchemaChanged, check, normalise

__all__ = [
    "COLUMNS",
    "EXAMPLE_HOME",
    "FIRST_DATE",
    "INPUTS",
    "LAST_DATE",
    "NUMBERS",
    "RANGES",
    "RAW_SCHEMA",
    "STATUSES",
    "TARGET",
    "TEXTS",
    "VALUATION_PRICE_RANGE",
    "WHOLE_NUMBERS",
    "WHOLE_TOLERANCE",
    "Columns",
    "FieldProblem",
    "Property",
    "SchemaChanged",
    "as_asked",
    "as_sold",
    "check",
    "columns_from_properties",
    "field_problems",
    "normalise",
    "parse_text",
    "properties_from_columns",
    "without_frames",
]
