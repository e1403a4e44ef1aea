"""What the XML of an Excel sheet says and its values do not: errors, empty formulas, calendar."""

import errno
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from realtor_model.reading.encodings import opened
from realtor_model.reading.table_file import UnreadableFile

BLOCK_BYTES = 4 * 1024 * 1024
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_ERROR = re.compile(rb"""<(?:\w+:)?c\b[^>]*\bt=["']e["']""")
# A cell with a formula, and then no value or an empty one.
_EMPTY_FORMULA = re.compile(
    rb"<(?:\w+:)?f\b(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)


# The place of a row or a cell: "7" or "C7".
_PLACE = re.compile(rb"""<(?:\w+:)?(?:row|c)\b[^>]*?\br=["']([A-Za-z]*)(\d+)["']""")


class SheetXml(NamedTuple):
    """Counts of a sheet's cells, and the calendar of the workbook.

    Attributes:
        errors: cells with an error, such as #N/A.
        formulas_without_value: cells whose formula no program has calculated yet.
        date_1904: whether serial numbers of dates count from 1904 instead of 1900.
    """

    errors: int = 0
    formulas_without_value: int = 0
    date_1904: bool = False


def read_sheet_xml(source: Path | bytes, name: str) -> SheetXml:
    """Read the XML of the sheet `name`; workbooks of other formats than .xlsx have none."""
    if not is_xlsx(source):
        return SheetXml()
    with opened(source) as file, damaged_is_unreadable(), zipfile.ZipFile(file) as archive:
        workbook = ElementTree.fromstring(archive.read("xl/workbook.xml"))  # noqa: S314
        errors = empty = 0
        for block in _blocks(archive, _part(archive, workbook, name)):
            errors += len(_ERROR.findall(block))
            empty += len(_EMPTY_FORMULA.findall(block))
    return SheetXml(errors, empty, _is_1904(workbook))


def is_xlsx(source: Path | bytes) -> bool:
    """Whether a workbook is one of XML (.xlsx, .xlsm)."""
    with opened(source) as file:
        if file.read(2) != b"PK":
            return False
        with damaged_is_unreadable(), zipfile.ZipFile(file) as archive:
            return "xl/workbook.xml" in archive.namelist()


@contextmanager
def damaged_is_unreadable() -> Iterator[None]:
    """What the standard library raises for a damaged archive or XML is one error."""
    try:
        yield
    except UnreadableFile:
        raise
    except (zipfile.BadZipFile, zlib.error, ElementTree.ParseError, ValueError, KeyError,
            EOFError, NotImplementedError, RuntimeError) as problem:  # fmt: skip
        raise UnreadableFile("damaged_file", format="Excel", problem=str(problem)) from problem
    except OSError as problem:
        # A damaged archive may point before its beginning; other errors are the disk's.
        if problem.errno != errno.EINVAL:
            raise
        raise UnreadableFile("damaged_file", format="Excel", problem=str(problem)) from problem


def largest_area(archive: zipfile.ZipFile) -> int:
    """The cells of the largest rectangle, from the first one to the last used cell, of a sheet."""
    areas = [0]
    for part in archive.namelist():
        if part.startswith("xl/worksheets/") and part.endswith(".xml"):
            rows = columns = 1
            for block in _blocks(archive, part):
                for letters, number in set(_PLACE.findall(block)):
                    rows = max(rows, int(number[:9]))
                    columns = max(columns, _column(letters[:4]))
            areas.append(rows * columns)
    return max(areas)


def _column(letters: bytes) -> int:
    """The number of a column.

    >>> _column(b"A"), _column(b"XFD")
    (1, 16384)
    """
    number = 0
    for letter in letters.upper():
        number = 26 * number + letter - ord("A") + 1
    return number


def _is_1904(workbook: ElementTree.Element) -> bool:
    settings = workbook.find("{*}workbookPr")
    return settings is not None and settings.get("date1904") in ("1", "true")


def _part(archive: zipfile.ZipFile, workbook: ElementTree.Element, name: str) -> str | None:
    """The path of a sheet in the archive; None if it is not an XML file there."""
    ids = {
        each.get("name"): each.get(_RELATION) for each in workbook.iterfind("{*}sheets/{*}sheet")
    }
    try:
        content = archive.read("xl/_rels/workbook.xml.rels")
    except KeyError:
        return None
    relations = ElementTree.fromstring(content)  # noqa: S314
    targets = {each.get("Id"): each.get("Target") for each in relations}
    target = targets.get(ids.get(name))
    path = target and posixpath.normpath(posixpath.join("/xl", target)).lstrip("/")
    return path if path in archive.namelist() else None


def _blocks(archive: zipfile.ZipFile, part: str | None) -> Iterator[bytes]:
    """The XML of a sheet in blocks that end with a row."""
    if part is None:
        return
    rest = b""
    with archive.open(part) as xml:
        while block := xml.read(BLOCK_BYTES):
            whole, end, rest = (rest + block).rpartition(b"row>")
            yield whole + end
    yield rest
