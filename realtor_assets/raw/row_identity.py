"""The hash that identifies a listing, and the split of its property.

Both depend on the row alone, so the same row gets the same hash and split in every batch.
"""

import hashlib
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from realtor_model.listing import CORE_KEYS

SPLITS = ("train", "validation", "test")
# Where the second and the third split begin, in hundredths of the properties.
_BOUNDS = (70, 85)
# Texts that PostgreSQL quotes inside a record.
_QUOTED = re.compile(r'[\s"\\(),]|^$', re.ASCII)


def row_hashes(rows: pa.Table) -> NDArray[np.bytes_]:
    """The MD5 (n,) of each typed record's text: 32 hexadecimal digits, dtype S32.

    The text is PostgreSQL's for the core columns in their order, so SQL computes the same hash:
    `md5(ROW(brokered_by, status, …)::text)`. Of the other columns it has those that the row has a
    value of, by their names: `(6016,for_sale,…),grade=7,waterfront=true`. So a column that a market
    adds later changes no hash of the rows without it.

    Args:
        rows: n typed listings, with the core columns and any others.
    """
    fields = _joined([_as_record_text(rows.column(key)) for key in CORE_KEYS], ",")
    added = [
        pc.binary_join_element_wise(f",{key}=", _as_record_text(rows.column(key)), "")
        for key in sorted(set(rows.column_names).difference(CORE_KEYS))
    ]
    records = _joined(["(", fields, ")", *added], "")
    digits = "".join([_md5(record).hexdigest() for record in _bytes(records)])
    return np.frombuffer(digits.encode(), "S32")


def splits(rows: pa.Table) -> NDArray[np.int64]:
    """The split (n,) of each row, as its position in `SPLITS`: 70 / 15 / 15.

    The split follows from a hash of the property (street, city, zip), so all listings of one house
    are in one split, and a row stays in its split as data grows.
    """
    street, city, zip_code = (
        rows.column(name).cast(pa.string()) for name in ("street", "city", "zip_code")
    )
    properties = _joined([street, pc.utf8_lower(city), zip_code], "|")
    heads = b"".join([_md5(address).digest()[:4] for address in _bytes(properties)])
    hundredths = np.frombuffer(heads, ">u4") % 100
    return np.searchsorted(_BOUNDS, hundredths, side="right")


def _md5(text: bytes) -> "hashlib._Hash":
    return hashlib.md5(text, usedforsecurity=False)


def _joined(columns: list[pa.ChunkedArray | str], separator: str) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(
        *columns, separator, null_handling="replace", null_replacement=""
    )


def _bytes(texts: pa.ChunkedArray) -> list[bytes]:
    values: list[bytes] = texts.cast(pa.binary()).to_pylist()
    return values


def _as_record_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not (
        pa.types.is_floating(column.type)
        or pa.types.is_string(column.type)
        or pa.types.is_large_string(column.type)
    ):
        return column.cast(pa.string())
    # Distinct values are rendered once: a batch has far fewer prices, sizes and places than rows.
    coded = column.combine_chunks().dictionary_encode()
    render = _float_text if pa.types.is_floating(column.type) else _quoted_text
    texts = pa.array([render(value) for value in coded.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([texts.take(coded.indices)])


def _float_text(value: float) -> str:
    # Python and PostgreSQL both write the shortest digits that read back as the same number.
    # Below 1e15, where PostgreSQL changes to exponents, only the ".0" of whole numbers differs.
    return repr(value).removesuffix(".0")


def _quoted_text(text: str) -> str:
    if _QUOTED.search(text) is None:
        return text
    doubled = text.replace("\\", "\\\\").replace('"', '""')
    return f'"{doubled}"'
