"""How the values of one column of a file are written, decided by the whole column.

1.800 is 1,800 or 1.8, and 6/7/2019 a day in June or in July. One value does not say which; the
others of its column do.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from realtor_model.listing.column import Column, Kind, Role
from realtor_model.listing.dates import DayOrder, is_ambiguous, order_shown
from realtor_model.listing.numbers import DecimalSign, read_number

# Medians of lots: of acres they are below the first number, of square feet above the second.
_MOST_ACRES, _LEAST_SQUARE_FEET = 100.0, 400.0
# Nine of ten homes have fewer square meters than this, and nine of ten have more square feet.
_MOST_SQUARE_METERS = 450.0
_HOMES_TO_JUDGE = 10
_MOST_NUMBERS = 10_000
_LARGEST_AREA = 1e12
_SMALL_UNITS = ("square feet", "square meters")
_FAMILIAR = ("acres", "square feet", "square meters")


@dataclass(frozen=True)
class Convention:
    """How the values of a column are written.

    Attributes:
        unit: of numbers that name none; None: the column's own.
        decimal: the decimal sign of numbers that can be read either way.
        day_order: separator -> which one of 6/7/2019 is meant.
        calendar_1904: whether dates that are numbers count from 1904.
    """

    unit: str | None = None
    decimal: DecimalSign = "."
    day_order: tuple[tuple[str, DayOrder], ...] = ()
    calendar_1904: bool = False

    def order_of(self, text: str) -> DayOrder:
        """The order of day and month in a text: that of its separator, else that of the others."""
        for separator, order in self.day_order:
            if separator in text:
                return order
        return self.day_order[0][1] if self.day_order else "month first"


PLAIN = Convention()


@dataclass
class Evidence:
    """What the values of one column show, block by block.

    Attributes:
        column: the column of the market.
        stated_unit: the unit that the header states; None: it states none.
        may_infer_unit: whether the header leaves the unit open; then a block has a value for each
            row, else each distinct value is enough.
    """

    column: Column
    stated_unit: str | None = None
    may_infer_unit: bool = False
    _decimals: Counter[DecimalSign] = field(default_factory=Counter)
    _orders: Counter[tuple[str, DayOrder]] = field(default_factory=Counter)
    _numbers: list[float] = field(default_factory=list)
    _has_block: bool = False
    _is_ambiguous: bool = False

    def add(self, values: Iterable[object]) -> None:
        """Look at the values of a block."""
        values = list(values)
        texts = {value for value in values if isinstance(value, str)}
        self._has_block = True
        if self.column.kind is Kind.DATE:
            for text in texts:
                if shown := order_shown(text):
                    self._orders[shown] += 1
                elif not self._is_ambiguous:
                    self._is_ambiguous = is_ambiguous(text)
        elif self._needs_sign:
            for text in texts:
                readings = read_number(text)
                if len(readings) == 2 and self._has_no_thousandths:
                    self._decimals["," if "." in text else "."] += 1
                elif len(readings) == 2:
                    self._is_ambiguous = True
                elif readings and readings[0].decimal is not None:
                    self._decimals[readings[0].decimal] += 1
        if self._infers_unit:
            room = _MOST_NUMBERS - len(self._numbers)
            self._numbers.extend(islice(_numbers_without_unit(values), room))

    @property
    def is_settled(self) -> bool:
        """Whether further blocks would change nothing: no value seen is still ambiguous."""
        if self.column.kind is Kind.DATE:
            return self._has_block and (bool(self._orders) or not self._is_ambiguous)
        if self._infers_unit and len(self._numbers) < _HOMES_TO_JUDGE:
            return False
        if not self._needs_sign:
            return True
        return self._has_block and (bool(self._decimals) or not self._is_ambiguous)

    @property
    def _needs_sign(self) -> bool:
        # Of a whole number only one reading is valid.
        return self.column.range is not None and not self.column.is_whole

    @property
    def _has_no_thousandths(self) -> bool:
        """Whether 350.000 can only be 350,000: a price, or an area in a small unit."""
        if self.column.role is Role.TARGET or self.column.range is None:
            return self.column.role is Role.TARGET
        return (self.stated_unit or self.column.range.unit) in _SMALL_UNITS

    @property
    def _infers_unit(self) -> bool:
        return self.may_infer_unit and self.column.is_area

    @property
    def decimal(self) -> DecimalSign | None:
        """The decimal sign that most unambiguous numbers have; None if there is none."""
        return max(self._decimals, key=self._decimals.__getitem__, default=None)

    def convention(
        self, file_decimal: DecimalSign = ".", *, calendar_1904: bool = False
    ) -> Convention:
        """The convention of the column.

        Args:
            file_decimal: the decimal sign of the file's other columns.
            calendar_1904: of the workbook.
        """
        orders: dict[str, DayOrder] = {}
        for (separator, order), _ in self._orders.most_common():
            orders.setdefault(separator, order)
        if self._is_ambiguous and self.column.kind is Kind.DATE and not orders:
            # No date shows the order: it is the American one, which the reader has to know.
            orders["/"] = "month first"
        unit = self.stated_unit or self._inferred_unit()
        is_own = self.column.range is not None and unit == self.column.range.unit
        return Convention(
            unit=None if is_own else unit,
            decimal=(self.decimal or file_decimal) if self._needs_sign else ".",
            day_order=tuple(orders.items()),
            calendar_1904=calendar_1904,
        )

    def _inferred_unit(self) -> str | None:
        """The only unit that the numbers can have, if there is only one."""
        if not self._infers_unit:
            return None
        positive = [number for number in self._numbers if number > 0]
        if self.column.range is None or self.column.range.unit not in _FAMILIAR or not positive:
            return None
        unit: str | None = None
        if self.column.role is Role.LOT_SIZE:
            median = float(np.median(positive))
            if median >= _LEAST_SQUARE_FEET:
                unit = "square feet"
            elif median <= _MOST_ACRES:
                unit = "acres"
        elif self.column.role is Role.LIVING_AREA and len(positive) >= _HOMES_TO_JUDGE:
            metric = np.quantile(positive, 0.9) < _MOST_SQUARE_METERS
            unit = "square meters" if metric else "square feet"
        return unit


def _numbers_without_unit(values: Iterable[object]) -> Iterator[float]:
    for value in values:
        if isinstance(value, str):
            readings = read_number(value)
            if readings and not readings[0].words:
                yield readings[0].value
        elif type(value) in (int, float) and 0 < value < _LARGEST_AREA:  # type: ignore[operator]
            # NaN is in no interval.
            yield float(value)  # type: ignore[arg-type]
