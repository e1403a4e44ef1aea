"""A user's file with everything made of it: kept while the user looks at other pages."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from realtor_model.listing import ListingContract
from realtor_ui.responses import ModelInfo
from realtor_ui.uploads.opening import OpenedFile, line_numbers, open_upload
from realtor_ui.uploads.result_file import estimates_table
from realtor_ui.uploads.understanding import Understanding, understand_file


@dataclass
class Valuation:
    """The estimates of a file so far, by one model and one matching.

    Attributes:
        parts: the answers of the service, chunk by chunk.
        done: valid rows that are valued.
        seconds: that it took.
    """

    understanding: Understanding
    parts: list[pa.Table] = field(default_factory=list)
    done: int = 0
    seconds: float = 0.0
    _table: tuple[int, pa.Table] | None = None

    @property
    def is_finished(self) -> bool:
        """Whether all valid rows are valued."""
        return self.done == len(self.understanding.valid)

    @property
    def estimates(self) -> pa.Table:
        """The estimates of all rows of the file, in its order."""
        if self._table is None or self._table[0] != self.done:
            self._table = (self.done, estimates_table(self.understanding, self.parts))
        return self._table[1]


class Upload:
    """One file of a user.

    Attributes:
        name: of the file.
        content: its bytes.
        sheet: of a workbook, as the user chose it; None: the one with homes.
        chosen: name of a column -> its header as the user chose it, or None for no header.
    """

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self.content = content
        self.sheet: str | None = None
        self.chosen: dict[str, str | None] = {}
        self._opened: OpenedFile | None = None
        self._understood: tuple[object, Understanding] | None = None
        self._valued: tuple[object, Valuation] | None = None

    def opened(self, contract: ListingContract, most_rows: int) -> OpenedFile:
        """The rows of the file; see `open_upload` for what it raises."""
        if self._opened is None:
            self._opened = open_upload(
                self.content, contract, most_rows=most_rows, sheet=self.sheet
            )
        return self._opened

    @cached_property
    def lines(self) -> NDArray[np.int64] | None:
        """The line of each row in the file, if it is known; the file is open."""
        assert self._opened is not None
        return line_numbers(self.content, self._opened)

    def choose_sheet(self, sheet: str) -> None:
        """Read another sheet, with its columns matched anew."""
        self.sheet, self._opened, self.chosen = sheet, None, {}
        self.__dict__.pop("lines", None)

    def choose_header(self, name: str, header: str | None) -> None:
        """Match a column with a header, which no other column keeps; None: with no header."""
        for other, chosen in self.chosen.items():
            if chosen is not None and chosen == header:
                self.chosen[other] = None
        self.chosen[name] = header

    def understood(self, info: ModelInfo, contract: ListingContract) -> Understanding:
        """How the file is read, with the columns as they are chosen now; the file is open."""
        assert self._opened is not None
        key = (info.market.version, self.sheet, tuple(sorted(self.chosen.items())))
        if self._understood is None or self._understood[0] != key:
            read = understand_file(self._opened, info, contract, self.chosen)
            self._understood = (key, read)
        return self._understood[1]

    def valuation(self, info: ModelInfo, understanding: Understanding) -> Valuation:
        """The estimates so far; none if the matching or the model changed since."""
        key = (info.version, id(understanding))
        if self._valued is None or self._valued[0] != key:
            self._valued = (key, Valuation(understanding))
        return self._valued[1]


def row_labels(lines: NDArray[np.int64] | None, rows: Sequence[int]) -> list[int]:
    """The numbers by which a user finds rows: their lines, or else their places from 1."""
    return [row + 1 if lines is None else int(lines[row]) for row in rows]
