"""Declarations of markets: from the tables of a market file to a checked listing contract."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError

from realtor_model.listing.column import (
    KEYS,
    Column,
    Kind,
    Range,
    Role,
    kinds_of,
)
from realtor_model.listing.contract import US_DOLLARS, ListingContract
from realtor_model.listing.declared_tables import (
    USAGE,
    ColumnTable,
    MarketTable,
    Number,
    Words,
)
from realtor_model.listing.parsing import InvalidValue, parse, parse_number
from realtor_model.listing.units import AREA, compact

_LONGEST_SHOWN = 80
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
# Columns of our tables that no added column may be called, and of our answers that none may be.
_TABLES = frozenset({"row_hash", "load_id", "batch_number", "loaded_at", "price_per_sqft", "id"})
_ANSWERS = frozenset(
    {"error", "error_codes", "warnings", "warning_codes", "confidence", "estimated_price",
     "estimated_low", "estimated_high"}
)  # fmt: skip
# Parameters of the app's addresses that have a meaning of their own.
_ADDRESSES = frozenset({"lang", "embed", "embed_options"})
_MONOTONE = {"up": 1, "down": -1, "any": 0}


class InvalidMarketFile(ValueError):
    """A market file cannot be used; the text names the file, the table, the key, and the fix."""


def contract_of(declaration: Mapping[str, Any], source: str) -> ListingContract:
    """The listing contract of a whole declaration: the tables `market` and `columns`.

    Args:
        declaration: as `ListingContract.declaration` holds it.
        source: name of the file or the bundle, for errors.

    Raises:
        InvalidMarketFile: something is impossible.
    """
    return _Declaration(declaration, source).contract()


def _by_language(words: Words) -> dict[str, str]:
    return {str(language): text for language, text in words.items()}


class _Declaration:
    """Checks a declaration and makes its contract; errors name the place in the file."""

    def __init__(self, declaration: Mapping[str, Any], source: str) -> None:
        self._declaration = declaration
        self._source = source

    def contract(self) -> ListingContract:
        market = self._shaped(MarketTable, self._declaration.get("market", {}), "market")
        columns = tuple(
            self._column(
                name,
                self._shaped(ColumnTable, table, f"columns.{name}"),
                in_us=market.currency == US_DOLLARS,
            )
            for name, table in self._declaration.get("columns", {}).items()
        )
        low, high = self._ordered(market.price_range, "market", "price_range")
        if low <= 0:
            self._refuse("market", "price_range", f"{low:g} is not a price: write more than 0")
        contract = ListingContract(
            name=market.name,
            title=_by_language(market.title),
            currency=market.currency,
            price_range=(low, high),
            columns=columns,
            declaration=self._declaration,
        )
        self._check_roles(contract)
        self._check_headers(contract)
        self._check_example_home(contract)
        return contract

    def _shaped[Table: BaseModel](self, kind: type[Table], table: Any, where: str) -> Table:
        if not isinstance(table, Mapping):
            raise InvalidMarketFile(f"{self._source}: [{where}] is not a table")
        try:
            return kind.model_validate(table)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            key = str(problem["loc"][0])
            if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
                keys = ", ".join(kind.model_fields)
                self._refuse(where, key, f"there is no such key: write one of {keys}")
            if problem["type"] == "missing" and len(problem["loc"]) == 1:
                self._refuse(where, key, f"is missing: write {USAGE[key]}")
            self._refuse(where, key, f"{_shown(table[key])} is not valid: write {USAGE[key]}")

    def _column(self, name: str, table: ColumnTable, *, in_us: bool) -> Column:
        where = f"columns.{name}"
        kind = Kind(table.type)
        role = self._role(where, table.role)
        public = table.name or name
        self._check_name(where, public, role)
        if kind not in kinds_of(role):
            kinds = " or ".join(sorted(kinds_of(role)))
            self._refuse(where, "type", f"a column with the role {role} is {kinds}, not {kind}")
        limits = None
        if kind in (Kind.NUMBER, Kind.INTEGER):
            if table.range is None:
                self._refuse(
                    where, "range", "is missing: write the lowest and the highest valid value, "
                    "range = [0, 100]",
                )  # fmt: skip
            # Without a unit, messages count in what the column is called: "from 1 to 3 floors".
            unit = table.unit or table.label.get("en", public).lower()
            limits = Range(*self._ordered(table.range, where, "range"), unit)
            self._check_number(where, table, kind, role, limits)
        else:
            self._check_no_number(where, table, kind)
        usual = None
        if table.usual is not None and limits is not None:
            low, high = self._ordered(table.usual, where, "usual")
            if low < limits.low or high > limits.high:
                self._refuse(
                    where, "usual", f"{low:g} to {high:g} is not within the range, {limits.low:g} "
                    f"to {limits.high:g}: change one of them",
                )  # fmt: skip
            usual = (low, high)
        self._check_choices(where, table, kind)
        if role is Role.STATUS:
            self._check_status(where, table)
        elif table.sold:
            self._refuse(where, "sold", "only a column with the role status has it: remove it")
        column = Column(
            name=public,
            kind=kind,
            role=role,
            range=limits,
            step=table.step,
            usual=usual,
            choices=tuple(table.choices),
            sold=tuple(table.sold),
            default=self._default(where, table, kind, role),
            required=table.required,
            in_every_batch=table.in_every_batch,
            monotone=_MONOTONE[table.monotone],
            headers=self._headers(where, name, public, table),
            parts=self._parts(where, table, limits),
            synonyms=self._synonyms(where, table),
            labels=_by_language(table.label),
            help=_by_language(table.help),
            example=table.example,
            in_us=in_us,
        )
        self._check_example(where, column)
        return column

    def _check_number(
        self, where: str, table: ColumnTable, kind: Kind, role: Role, limits: Range
    ) -> None:
        low, high = limits.low, limits.high
        if kind is Kind.INTEGER:
            for key, values in (("range", (low, high)), ("step", (table.step or 1,))):
                if any(value != round(value) for value in values):
                    self._refuse(
                        where, key, "an integer has whole numbers here: write them, or "
                        'type = "number"',
                    )  # fmt: skip
        ends = _DEGREES.get(role)
        if ends is not None and not ends[0] <= low < high <= ends[1]:
            self._refuse(
                where, "range", f"{low:g} to {high:g} are no degrees of {role}: write a range from "
                f"{ends[0]} to {ends[1]}",
            )  # fmt: skip

    def _check_no_number(self, where: str, table: ColumnTable, kind: Kind) -> None:
        for key in ("range", "unit", "step", "usual"):
            if getattr(table, key) is not None:
                self._refuse(where, key, f'a {kind} has none: remove it, or write type = "number"')
        if table.monotone != "any" and kind is not Kind.BOOLEAN:
            self._refuse(where, "monotone", f"a {kind} has no direction: remove it")

    def _check_choices(self, where: str, table: ColumnTable, kind: Kind) -> None:
        if kind is not Kind.CATEGORY:
            for key in ("choices", "default"):
                if getattr(table, key):
                    self._refuse(
                        where, key, 'only a category has it: remove it, or write type = "category"'
                    )
            return
        if twice := [each for each, number in Counter(table.choices).items() if number > 1]:
            self._refuse(where, "choices", f"{twice[0]!r} is there twice: remove one")
        if blank := [each for each in table.choices if each != each.strip() or not each]:
            self._refuse(
                where,
                "choices",
                f"{blank[0]!r} has blanks around it, or is empty: remove them",
            )

    def _check_example(self, where: str, column: Column) -> None:
        """An example, and a default, must be a valid value of its column."""
        for key, value in (("example", column.example), ("default", column.default)):
            if value is None:
                continue
            if column.choices and value not in column.choices:
                self._refuse(
                    where, key, f"{value!r} is none of the choices: write one of "
                    f"{', '.join(column.choices)}",
                )  # fmt: skip
            try:
                is_number = column.range is not None
                read = (parse_number if is_number else parse)(column, value)
            except InvalidValue as invalid:
                self._refuse(where, key, f"{value!r} {invalid.rule.text}: write such a value")
            if read is None:
                self._refuse(where, key, "is empty: write a value, or remove it")

    def _check_example_home(self, contract: ListingContract) -> None:
        """The examples together are a home that can be valued: a new model is tried with it."""
        has_example = {c.role for c in contract.columns if c.example is not None}
        single = {Role.STATE, Role.ZIP_CODE} & has_example
        if not single and not {Role.LATITUDE, Role.LONGITUDE} <= has_example:
            names = " and ".join(c.name for c in contract.places if c.example is None)
            self._refuse(
                "columns", None, "the example home has no place, which a new model is tried with: "
                f"write an example for {names}",
            )  # fmt: skip
        if not has_example & {c.role for c in contract.sizes}:
            names = ", ".join(c.name for c in contract.sizes)
            self._refuse(
                "columns", None, "the example home has no size, which a new model is tried with: "
                f"write an example for one of {names}",
            )  # fmt: skip

    def _role(self, where: str, role: str) -> Role:
        try:
            return Role(role)
        except ValueError:
            self._refuse(
                where, "role", f"there is no role {role!r}: write one of {', '.join(Role)}"
            )

    def _check_name(self, where: str, name: str, role: Role) -> None:
        if _NAME.fullmatch(name) is None:
            self._refuse(
                where, "name", f"{name!r} is no name: write small letters, digits and _, at most 40"
            )
        reserved = name in _ANSWERS or (name in _TABLES and role is Role.INPUT)
        if reserved or name in _ADDRESSES or name == "contract" or hasattr(BaseModel, name):
            self._refuse(where, "name", f"{name} has a meaning of its own here: write another name")
        own = {key: each for each, key in KEYS.items()}.get(name)
        if own is not None and own is not role:
            self._refuse(
                where, "role", f'a column {name} has the role {own}: write role = "{own}", or '
                "another name",
            )  # fmt: skip

    def _check_status(self, where: str, table: ColumnTable) -> None:
        if not table.choices:
            self._refuse(where, "choices", "is missing: write all statuses that listings have")
        if unknown := sorted(set(table.sold) - set(table.choices)):
            self._refuse(where, "sold", f"{unknown[0]!r} is none of the choices: add it to them")
        if not table.sold:
            self._refuse(where, "sold", "is missing: write the choices that mean a sale")

    def _default(self, where: str, table: ColumnTable, kind: Kind, role: Role) -> str | None:
        if table.default is not None and kind is not Kind.CATEGORY:
            self._refuse(where, "default", f"a {kind} has none: remove it")
        if table.default is None and role is Role.STATUS:
            # Homes to value are rarely sold already, and any status is valued as sold.
            return next((each for each in table.choices if each not in table.sold), table.sold[0])
        return table.default

    def _headers(
        self, where: str, key: str, name: str, table: ColumnTable
    ) -> dict[str, str | None]:
        headers: dict[str, str | None] = {} if key == name else {key: None}
        for entry in table.headers:
            header = entry if isinstance(entry, str) else entry.header
            if not compact(header):
                self._refuse(
                    where, "headers", f"{header!r} has no letter a to z and no digit, by which "
                    "headers are compared: remove it",
                )  # fmt: skip
            if isinstance(entry, str):
                headers[entry] = None
                continue
            if table.unit not in AREA:
                self._refuse(
                    where, "headers", f"a header with a unit needs a column whose unit is one of "
                    f"{', '.join(AREA)}",
                )  # fmt: skip
            if entry.unit not in AREA:
                self._refuse(
                    where, "headers", f"{entry.unit!r} is no unit of area: write one of "
                    f"{', '.join(AREA)}",
                )  # fmt: skip
            headers[entry.header] = entry.unit
        return headers

    def _parts(self, where: str, table: ColumnTable, limits: Range | None) -> dict[str, float]:
        if table.parts and limits is None:
            self._refuse(
                where, "parts", 'only a number has it: remove it, or write type = "number"'
            )
        for header in table.parts:
            if not compact(header):
                self._refuse(where, "parts", f"{header!r} has no letter a to z: remove it")
        return dict(table.parts)

    def _synonyms(self, where: str, table: ColumnTable) -> dict[str, tuple[str, ...]]:
        if unknown := sorted(table.synonyms.keys() - set(table.choices)):
            self._refuse(
                where, "synonyms", f"{unknown[0]!r} is none of the choices: add it to them"
            )
        meanings: dict[str, str] = {}
        for choice in table.choices:
            for word in (choice, *table.synonyms.get(choice, ())):
                known = meanings.setdefault(compact(word) or word, choice)
                if known != choice and table.synonyms:
                    self._refuse(
                        where, "synonyms", f"{word!r} means {known} and {choice}: remove one"
                    )
        return {choice: tuple(words) for choice, words in table.synonyms.items()}

    def _check_roles(self, contract: ListingContract) -> None:
        roles = Counter(column.role for column in contract.columns)
        for role, number in roles.items():
            if number > 1 and role is not Role.INPUT:
                first, second, *_ = [each.name for each in contract.columns if each.role is role]
                self._refuse(
                    f"columns.{second}", "role", f"{first} has the role {role} already: leave one "
                    f'out, or write [columns.{first}] name = "{second}"',
                )  # fmt: skip
        if Role.TARGET not in roles:
            self._refuse("columns", None, 'no column has the role target: write role = "target"')
        if (Role.LATITUDE in roles) is not (Role.LONGITUDE in roles):
            self._refuse(
                "columns", None, "latitude and longitude belong together: declare both or none"
            )
        if not {Role.ZIP_CODE, Role.STATE, Role.LATITUDE} & roles.keys():
            self._refuse(
                "columns", None, "no column places a home: declare one with the role zip_code or "
                "state, or two with the roles latitude and longitude",
            )  # fmt: skip
        if not contract.sizes:
            self._refuse(
                "columns", None, "no column says how large a home is: declare one with the role "
                "living_area, lot_size or bedrooms",
            )  # fmt: skip

    def _check_headers(self, contract: ListingContract) -> None:
        names = Counter(column.name for column in contract.columns)
        if twice := [name for name, number in names.items() if number > 1]:
            self._refuse(
                "columns", None, f"two columns have the name {twice[0]}: give one another name"
            )
        claims: dict[str, str] = {}
        for column, header in _claims(contract):
            known = claims.setdefault(compact(header), column.name)
            if known != column.name:
                self._refuse(
                    f"columns.{column.name}", "headers", f"{header!r} is a header of {known} "
                    "already: remove it from one of them",
                )  # fmt: skip

    def _ordered(self, ends: list[Number], where: str, key: str) -> tuple[float, float]:
        low, high = ends
        if not (math.isfinite(low) and math.isfinite(high)):
            self._refuse(where, key, f"{low:g} to {high:g} has no end: write two finite numbers")
        if low >= high:
            self._refuse(where, key, f"{low:g} is not below {high:g}: write the lowest value first")
        return low, high

    def _refuse(self, where: str, key: str | None, problem: str) -> NoReturn:
        table, _, name = where.partition(".")
        # A quoted key may hold anything, line breaks too.
        if name and not _BARE_KEY.fullmatch(name):
            name = json.dumps(name)
        place = f"[{table}.{name}]" if name else f"[{table}]"
        if key is not None:
            place += f" {key if _BARE_KEY.fullmatch(key) else json.dumps(key)}"
        raise InvalidMarketFile(f"{self._source}: {place}: {problem}")


_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_DEGREES = {Role.LATITUDE: (-90, 90), Role.LONGITUDE: (-180, 180)}


def _shown(value: Any) -> str:
    """A value of a file, as far as one line has room for it."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _claims(contract: ListingContract) -> Iterator[tuple[Column, str]]:
    """The columns with each of their names: names first, so that a header never takes one."""
    for column in contract.columns:
        yield column, column.name
    for column in contract.columns:
        for header in (*column.headers, *column.parts):
            yield column, header
