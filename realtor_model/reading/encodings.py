"""The encoding of a text file, decided by all of its bytes."""

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from realtor_model.reading.table_file import UnreadableFile

# Small enough for the cache of a core: twice as fast as blocks of megabytes.
BLOCK_BYTES = 128 * 1024
# Longer marks first: that of UTF-16 begins that of UTF-32.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
UTF8 = ("utf-8", "utf-8-sig")
# Of a text in Latin letters in UTF-16, nearly every other byte is zero.
_UTF16_ZEROS = 0.3


@dataclass(frozen=True)
class TextScan:
    """What one pass over the bytes of a text file says.

    Attributes:
        encoding: Python's name of the encoding; all bytes can be decoded by it.
        quotes: number of quotation marks.
    """

    encoding: str
    quotes: int


def opened(source: Path | bytes) -> BinaryIO:
    """The bytes of a file as a stream."""
    return source.open("rb") if isinstance(source, Path) else io.BytesIO(source)


def scan(source: Path | bytes) -> TextScan:
    """Detect the encoding: by its mark, by the zeros of UTF-16, else UTF-8, else Windows-1252.

    Raises:
        UnreadableFile: the bytes have none of these encodings, or hold a NUL character.
    """
    with opened(source) as file:
        head = file.read(BLOCK_BYTES)
    for encoding in _candidates(head):
        try:
            return TextScan(encoding, _quotes(source, encoding))
        except UnicodeDecodeError:
            continue
    raise UnreadableFile("unknown_encoding")


def _candidates(head: bytes) -> tuple[str, ...]:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return (encoding,)
    pairs = max(1, len(head) // 2)
    if head[1::2].count(0) > _UTF16_ZEROS * pairs:
        return ("utf-16-le",)
    if head[0::2].count(0) > _UTF16_ZEROS * pairs:
        return ("utf-16-be",)
    return ("utf-8", "cp1252")


def _quotes(source: Path | bytes, encoding: str) -> int:
    """The number of quotation marks in the text.

    Raises:
        UnicodeDecodeError: the bytes are not of this encoding.
        UnreadableFile: the text holds a NUL character.
    """
    quotes = 0
    for block in _as_utf8(source, encoding):
        if b"\0" in block:
            raise UnreadableFile("nul_in_text", line=_line_with_nul(source, encoding))
        quotes += block.count(b'"')
    return quotes


def _line_with_nul(source: Path | bytes, encoding: str) -> int:
    with io.TextIOWrapper(opened(source), encoding, errors="replace") as text:
        return next(number for number, line in enumerate(text, 1) if "\0" in line)


def _as_utf8(source: Path | bytes, encoding: str) -> Iterator[bytes]:
    """The blocks of a text, decoded and in UTF-8; those of Windows-1252 as they are.

    In both encodings a quotation mark and a NUL are the bytes of ASCII. Most files are ASCII only,
    which need not be decoded.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    plain = encoding in (*UTF8, "cp1252")
    with opened(source) as file:
        while block := file.read(BLOCK_BYTES):
            if not (plain and block.isascii() and not decoder.getstate()[0]):
                text = decoder.decode(block)
            yield block if plain else text.encode()
    decoder.decode(b"", final=True)
