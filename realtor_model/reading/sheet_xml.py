"""What the XML of an Excel sheet says and its values do not: errors, empty formulas, calendar."""

import posixpath
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from realtor_model.reading.encodings import opened

BLOCK_BYTES = 4 * 1024 * 1024
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_ERROR = re.compile(rb"""<(?:\w+:)?c\b[^>]*\bt=["']e["']""")
# A cell with a formula, and then no value or an empty one.
_EMPTY_FORMULA = re.compile(
    rb"<(?:\w+:)?f\b(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)


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
    with opened(source) as file:
        if not zipfile.is_zipfile(file):
            return SheetXml()
        with zipfile.ZipFile(file) as archive:
            if "xl/workbook.xml" not in archive.namelist():
                return SheetXml()
            workbook = ElementTree.fromstring(archive.read("xl/workbook.xml"))  # noqa: S314
            errors = empty = 0
            for block in _blocks(archive, _part(archive, workbook, name)):
                errors += len(_ERROR.findall(block))
                empty += len(_EMPTY_FORMULA.findall(block))
    return SheetXml(errors, empty, _is_1904(workbook))


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
