"""Open a file of homes, whatever it is: the content decides, not the name."""

import re
import zipfile
from pathlib import Path

from realtor_model.listing import ListingContract
from realtor_model.reading.arrow_files import ARROW_FILE, ARROW_STREAM, open_arrow, open_parquet
from realtor_model.reading.encodings import opened
from realtor_model.reading.sheet_xml import damaged_is_unreadable, largest_area
from realtor_model.reading.table_file import TableFile, UnreadableFile
from realtor_model.reading.text_files import open_text

# Bytes of a workbook. A small file can unpack to much more.
MAX_UNPACKED = 1024**3
# Of a sheet. The library reserves memory for all cells up to the last used one, and where it gets
# none it ends the process: a sheet with a stray cell in its last row and column is never handed on.
MAX_CELLS = 32_000_000
_HEAD_BYTES = 4096
_COMPRESSED = {
    b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz",
    b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "RAR", b"\x04\x22\x4d\x18": "LZ4",
}  # fmt: skip
_OTHERS = {
    b"%PDF": "PDF", b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"II*\0": "TIFF",
    b"MM\0*": "TIFF", b"RIFF": "WebP", b"SQLite format 3\0": "SQLite", b"{\\rtf": "RTF",
}  # fmt: skip
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_WEB_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|table|head|body)", re.IGNORECASE)
_XML = re.compile(rb"(\xef\xbb\xbf)?\s*<\?xml")
_JSON = re.compile(rb'(\xef\xbb\xbf)?\s*([\[{]\s*["{\[]|\{\s*\}|\[\s*\])')
_ODS = b"application/vnd.oasis.opendocument.spreadsheet"


def open_file(
    source: Path | bytes, contract: ListingContract, *, sheet: str | None = None
) -> TableFile:
    """Open a text file, a workbook, a Parquet or an Arrow file as a table.

    Args:
        source: the file, or its bytes.
        contract: of the market, whose headers show where a table begins.
        sheet: of a workbook, the sheet to read; by default the one that names most columns of the
            market.

    Raises:
        UnreadableFile: it is another kind of file, damaged, or not a table.
        OSError: the file cannot be opened.
    """
    with opened(source) as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(b"PAR1"):
        return open_parquet(source, contract)
    if head.startswith((ARROW_FILE, ARROW_STREAM)):
        return open_arrow(source, head, contract)
    if head.startswith((_ZIP, _OLE)):
        _check_workbook(source, head)
        # Imported only for workbooks, because the library is a large one.
        from realtor_model.reading.spreadsheets import open_workbook

        return open_workbook(source, contract, sheet=sheet)
    _refuse_other_kinds(head)
    return open_text(source, contract)


def _refuse_other_kinds(head: bytes) -> None:
    for beginning, name in _COMPRESSED.items():
        if head.startswith(beginning):
            raise UnreadableFile("compressed_file", format=name)
    for beginning, name in _OTHERS.items():
        if head.startswith(beginning):
            raise UnreadableFile("not_a_table", format=name)
    if _WEB_PAGE.match(head):
        raise UnreadableFile("web_page")
    if _XML.match(head):
        raise UnreadableFile("not_a_table", format="XML")
    if _JSON.match(head):
        raise UnreadableFile("not_a_table", format="JSON")


def _check_workbook(source: Path | bytes, head: bytes) -> None:
    """Raise UnreadableFile if a ZIP or OLE file is not a workbook, or unpacks to too much."""
    if head.startswith(_OLE):
        _check_ole(source)
        return
    with opened(source) as file, damaged_is_unreadable(), zipfile.ZipFile(file) as archive:
        if sum(each.file_size for each in archive.infolist()) > MAX_UNPACKED:
            raise UnreadableFile("file_too_large", megabytes=MAX_UNPACKED // 1024**2)
        if largest_area(archive) > MAX_CELLS:
            raise UnreadableFile("sheet_too_large", limit=MAX_CELLS)
        names = archive.namelist()
        mimetype = archive.read("mimetype") if "mimetype" in names else b""
    if any(name.startswith(("word/", "ppt/")) for name in names):
        raise UnreadableFile("not_a_table", format="Office")
    if not (any(name.startswith("xl/") for name in names) or mimetype.startswith(_ODS)):
        raise UnreadableFile("compressed_file", format="zip")


def _check_ole(source: Path | bytes) -> None:
    content = source.read_bytes() if isinstance(source, Path) else source
    if "EncryptedPackage".encode("utf-16-le") in content:
        raise UnreadableFile("protected_workbook")
    if "WordDocument".encode("utf-16-le") in content:
        raise UnreadableFile("not_a_table", format="Word")
