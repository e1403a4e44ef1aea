"""A file opened as a table: clean column names, batches of rows, and notes on what was detected."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from realtor_model.listing import ListingContract, matched_columns
from realtor_model.messages import CodedMessage, Parameter, message

# The last column of the batches of text files and sheets: the number of cells of a row that does
# not fit the header, null in rows that do. `TableFile.names` leaves it out.
ROW_CELLS = "(cells in this row)"


class UnreadableFile(ValueError):
    """The file is not a table that can be read.

    Attributes:
        problem: the reason as a coded message; `str` is its English text.
    """

    def __init__(self, code: str, **params: Parameter) -> None:
        self.problem: CodedMessage = message(code, **params)
        super().__init__(self.problem.text)


@dataclass(frozen=True)
class TableFile:
    """A file opened as a table.

    Attributes:
        names: of the columns in file order; each is unique and none is blank.
        schema: of the batches. Columns of text files and sheets are strings, and `ROW_CELLS`
            (int32) comes last.
        batches: yields the rows in file order; may be called again.
        detected: what was detected when the file was opened.
        first_line: line of the first row (text files, 1 is the first line) or its number in the
            sheet; 1 for other files.
        sheets: the sheets of a workbook, in its order.
        sheet: the sheet that was opened.
        date_1904: whether the serial numbers of the workbook's dates count from 1904.
        row_counts: code of a note -> rows it is about, in the last iteration of `batches`.
    """

    names: tuple[str, ...]
    schema: pa.Schema
    batches: Callable[[], Iterator[pa.RecordBatch]]
    detected: tuple[CodedMessage, ...] = ()
    first_line: int = 1
    sheets: tuple[str, ...] = ()
    sheet: str | None = None
    date_1904: bool = False
    row_counts: Counter[str] = field(default_factory=Counter, repr=False)

    @property
    def notes(self) -> tuple[CodedMessage, ...]:
        """`detected`, and the notes about rows; the latter are complete after `batches` ended."""
        counted = (message(code, rows=rows) for code, rows in sorted(self.row_counts.items()))
        return (*self.detected, *counted)


def text_schema(names: Sequence[str]) -> pa.Schema:
    """The schema of a text file or a sheet with the columns `names`."""
    return pa.schema([*((name, pa.string()) for name in names), (ROW_CELLS, pa.int32())])


def clean_header(header: object) -> str:
    """A header as one line without blanks around it; "" if there is none.

    >>> clean_header(" Square\\nFeet "), clean_header(None)
    ('Square Feet', '')
    """
    text = "" if header is None else str(header)
    return re.sub(r"\s+", " ", text.replace("\ufeff", "")).strip()


def unique_names(
    headers: Sequence[str], contract: ListingContract, places: Sequence[int] | None = None
) -> tuple[tuple[str, ...], tuple[CodedMessage, ...]]:
    """A unique name for each of n headers, and notes about blank and repeated ones.

    Args:
        headers: as given; "" is blank.
        contract: of the market. Its columns cannot be repeated.
        places: of the headers in the file, from 0; by default they are all of its headers.

    Raises:
        UnreadableFile: a header of the market occurs twice in the same spelling.

    >>> from realtor_model.listing import US_LISTINGS
    >>> unique_names(["bed", "notes", "", "notes"], US_LISTINGS)[0]
    ('bed', 'notes', 'column 3', 'notes (2)')
    """
    repeated = [header for header, times in Counter(headers).items() if header and times > 1]
    for header in repeated:
        if matched_columns([header], contract):
            raise UnreadableFile("repeated_header", header=header)
    taken, used = {*headers, ROW_CELLS}, {"", ROW_CELLS}
    numbers: Counter[str] = Counter()
    names: list[str] = []
    for place, header in zip(places or range(len(headers)), headers, strict=True):
        wanted = header or f"column {place + 1}"
        names.append(_free(wanted, taken, numbers) if header in used else header)
        used.add(header)
        taken.add(names[-1])
    blank = [name for name, header in zip(names, headers, strict=True) if not header]
    numbered = [
        name for name, header in zip(names, headers, strict=True) if header and name != header
    ]
    notes = []
    if blank:
        notes.append(message("blank_headers_named", columns=blank))
    if numbered:
        notes.append(message("repeated_headers_numbered", columns=numbered))
    return tuple(names), tuple(notes)


def _free(wanted: str, taken: set[str], numbers: Counter[str]) -> str:
    """`wanted`, or `wanted (2)` and so on, such that it is not `taken`.

    Args:
        numbers: `wanted` -> how many numbers have been tried, of all calls.
    """
    name = wanted
    while name in taken:
        numbers[wanted] += 1
        name = f"{wanted} ({numbers[wanted] + 1})"
    return name


def header_score(cells: Sequence[str], contract: ListingContract) -> int:
    """How many columns of the market a row names, if it is the header.

    >>> from realtor_model.listing import US_LISTINGS
    >>> header_score(["state", "bed", "roof"], US_LISTINGS)
    2
    """
    return len(matched_columns(dict.fromkeys(filter(None, cells)), contract))


def header_row(rows: Sequence[Sequence[str]], contract: ListingContract) -> int:
    """Index of the header among the first rows of a table, whose cells are clean.

    It is the first row that names most columns of the market. A single name may as well be the
    value of a row, so without a row that names two, it is the first row that is not blank.
    """
    scores = [header_score(row, contract) for row in rows]
    best = max(range(len(rows)), key=scores.__getitem__)
    return best if scores[best] > 1 else next((i for i, row in enumerate(rows) if any(row)), 0)
