"""Which column of a market each header of a file or a request is."""

from collections.abc import Hashable, Iterable, Mapping
from functools import cache
from typing import Any

from realtor_model.listing.column import Column, header_key
from realtor_model.listing.contract import ListingContract


@cache
def _by_header(contract: ListingContract) -> Mapping[str, Column]:
    names = {header_key(column.name): column for column in contract.columns}
    others = {
        header_key(header): column for column in contract.columns for header in column.headers
    }
    return others | names


def matched_columns(headers: Iterable[Hashable], contract: ListingContract) -> dict[Any, Column]:
    """Header -> the column it is, for each header that is one.

    A column's own name comes before its other headers; of several other headers the first counts.

    >>> from realtor_model.listing import US_LISTINGS
    >>> matched = matched_columns(["Beds", "bed", "roof"], US_LISTINGS)
    >>> {header: column.name for header, column in matched.items()}
    {'bed': 'bed'}
    """
    listed = list(headers)
    named = {column.name: column for column in contract.columns}
    matched: dict[Any, Column] = {
        header: named[header] for header in listed if isinstance(header, str) and header in named
    }
    taken = {column.key for column in matched.values()}
    if len(matched) < len(listed):
        known = _by_header(contract)
        for header in listed:
            column = known.get(header_key(str(header)))
            if column is not None and header not in matched and column.key not in taken:
                matched[header] = column
                taken.add(column.key)
    return matched
