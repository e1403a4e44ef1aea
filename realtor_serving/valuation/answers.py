"""Makes answers from checked properties; every endpoint calls the model through this module.

Homes are valued as sold, whatever status their listing has: the answer is a sale price.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from realtor_model.features import take
from realtor_model.listing import (
    KEYS,
    Column,
    Columns,
    Home,
    Kind,
    Role,
    as_sold,
    columns_from_properties,
    properties_from_columns,
)
from realtor_model.messages import CodedMessage
from realtor_model.reading.home_tables import Homes, read_rows
from realtor_model.registry_names import REGISTERED_MODEL
from realtor_model.valuation.intervals import RANGE
from realtor_model.valuation.market_statistics import MEDIAN_OF, By
from realtor_model.valuation.valuation_model import CONFIDENCE_LIMITS
from realtor_serving.champion.served_champion import Champion
from realtor_serving.contract.problems import listed_problems
from realtor_serving.contract.schemas import (
    Adjustment,
    Comparable,
    ComparableSales,
    ComparablesRequest,
    ExplainedValuation,
    FeatureContribution,
    InputContribution,
    Market,
    MarketQuery,
    MarketRow,
    ModelInfo,
    ModelRef,
    Place,
    Places,
    PlacesQuery,
    Problem,
    Valuation,
)
from realtor_serving.valuation.inference_log import Answer
from realtor_serving.valuation.market_description import described_inputs, market_info

_ANY: TypeAdapter[Any] = TypeAdapter(Any)


def model_ref(champion: Champion) -> ModelRef:
    """The reference to the model that every answer contains."""
    return ModelRef(
        name=REGISTERED_MODEL,
        version=champion.registered.version,
        stage=champion.stage,
        candidate=champion.model.candidate,
    )


@dataclass(frozen=True)
class ValuedHomes:
    """n homes with their valuations.

    Attributes:
        champion: the model that valued them.
        columns: the homes as they were entered; each column has the shape (n,).
        price: estimated sale prices, n dollar amounts rounded to cents.
        low: lower ends of the ranges, like `price`.
        high: upper ends of the ranges, like `price`.
        confidence: n grades: "high", "medium" or "low".
        warnings: by row; rows without warnings are missing.
        unknown: by input, the number of homes whose place is unknown to the model.
        homes: the same homes as properties, if they were parsed one by one; else None.
    """

    champion: Champion
    columns: Columns
    price: list[float]
    low: list[float]
    high: list[float]
    confidence: list[str]
    warnings: Mapping[int, list[CodedMessage]]
    unknown: Mapping[str, int]
    homes: Sequence[Home] | None = None

    def rows(self) -> list[dict[str, Any]]:
        """The fields of each home's `Valuation`, as dicts, which take half the time of models.

        All rows share one `model` dict.
        """
        model = model_ref(self.champion).model_dump()
        as_of = _day(self.champion.model.metadata["as_of"])
        currency = self.champion.model.contract.currency
        rows = []
        values = zip(self.price, self.low, self.high, self.confidence, strict=True)
        for row, (price, low, high, confidence) in enumerate(values):
            texts, details = [], []
            for warning in self.warnings.get(row, ()):
                texts.append(warning.text)
                details.append(
                    {"code": warning.code, "params": warning.params, "message": warning.text}
                )
            rows.append(
                {
                    "price": price,
                    "low": low,
                    "high": high,
                    "coverage": RANGE,
                    "confidence": confidence,
                    "currency": currency,
                    "as_of": as_of,
                    "warnings": texts,
                    "warning_details": details,
                    "model": model,
                }
            )
        return rows

    def json(self) -> list[bytes]:
        """Each home's `Valuation` as JSON."""
        return [*map(_ANY.dump_json, self.rows())]

    def logged(self, endpoint: str) -> Iterator[Answer]:
        """The valuations as `inference_log` records them."""
        version = self.champion.registered.version
        homes: Iterable[Home] = (
            properties_from_columns(self.columns, self.champion.model.contract)
            if self.homes is None
            else self.homes
        )
        for home, *dollars in zip(homes, self.price, self.low, self.high, strict=True):
            yield Answer(endpoint, version, home.model_dump_json(exclude_none=True), *dollars)

    @property
    def only(self) -> Valuation:
        """The valuation of the only home. Raises ValueError if there are several."""
        (fields,) = self.rows()
        return Valuation(**fields)


def value(
    champion: Champion,
    columns: Columns,
    homes: Sequence[Home] | None = None,
    notes: Mapping[int, Sequence[CodedMessage]] = MappingProxyType({}),
) -> ValuedHomes:
    """Value n homes as sold.

    Args:
        champion: the model to value them with.
        columns: the homes as they were entered; each column has the shape (n,).
        homes: the same homes as properties, if the caller has them.
        notes: row -> what was left out or read as unknown; these warnings come first.
    """
    values = champion.model.value(as_sold(columns))
    price, low, high = np.round([values.price, values.low, values.high], 2).tolist()
    # Unknown places always cause a warning, so without warnings there is nothing to count.
    unknown = (
        {name: int(rows.sum()) for name, rows in values.unknown.items()} if values.warnings else {}
    )
    confidence = values.confidence.tolist()
    warnings = values.warnings
    for row, of_row in notes.items():
        warnings[row] = [*of_row, *warnings.get(row, ())]
    return ValuedHomes(champion, columns, price, low, high, confidence, warnings, unknown, homes)


def value_homes(
    champion: Champion,
    homes: Sequence[Home],
    notes: Mapping[int, Sequence[CodedMessage]] = MappingProxyType({}),
) -> ValuedHomes:
    """Value n homes as sold; see `value`."""
    columns = columns_from_properties(homes, champion.model.contract)
    return value(champion, columns, homes, notes)


@dataclass(frozen=True)
class ValuedBatch:
    """The result of n rows, each checked on its own.

    Attributes:
        valued: the valuations of the valid rows.
        positions: the positions of the valid rows among all rows, in the order of `valued`.
        errors: by position, the problems of each invalid row.
        notes: how the rows were read: units, decimal signs, unused columns.
    """

    valued: ValuedHomes
    positions: list[int]
    errors: Mapping[int, list[Problem]]
    notes: Sequence[CodedMessage] = ()

    def json(self) -> bytes:
        """The `BatchValuation` as JSON, serialized without making its models."""
        valued = dict(zip(self.positions, self.valued.rows(), strict=True))
        errors = {
            row: {"detail": [problem.model_dump() for problem in row_problems]}
            for row, row_problems in self.errors.items()
        }
        return _ANY.dump_json(
            {
                "results": [
                    {"index": row, "valuation": valued.get(row), "error": errors.get(row)}
                    for row in range(len(valued) + len(errors))
                ],
                "valued": len(valued),
                "failed": len(errors),
                "notes": [note.to_dict() for note in self.notes],
                "model": model_ref(self.valued.champion).model_dump(),
            }
        )


def value_rows(champion: Champion, rows: Sequence[Any]) -> ValuedBatch:
    """Check each of n rows of JSON on its own and value the valid ones as sold."""
    return value_read(champion, read_rows(rows, champion.model.contract))


def value_read(
    champion: Champion, homes: Homes, detected: Sequence[CodedMessage] = ()
) -> ValuedBatch:
    """Value the valid ones of n homes as sold.

    Args:
        champion: the model to value them with.
        homes: the rows of a table or of JSON, read.
        detected: notes on the file of the table.
    """
    positions = homes.valid
    at = {row: position for position, row in enumerate(positions.tolist())}
    of_rows = {at[row]: of_row for row, of_row in homes.notes.items() if row in at}
    valued = value(champion, take(homes.columns, positions), notes=of_rows)
    errors = {row: listed_problems(problems) for row, problems in homes.problems.items()}
    return ValuedBatch(valued, positions.tolist(), errors, (*detected, *homes.reading.notes))


def explain(
    champion: Champion, listing: Home, notes: Sequence[CodedMessage] = ()
) -> tuple[ExplainedValuation, ValuedHomes]:
    """Value one home and explain its price.

    The model's contributions are exact and additive in log price. In dollars, price - base_price is
    divided in proportion to them, so that the dollars add up too.

    Returns:
        The answer, and the valuation for the metrics and the inference log.
    """
    valued = value_homes(champion, [listing], {0: notes} if notes else {})
    columns = as_sold(valued.columns)
    explanation = champion.model.explain(columns)
    contract = champion.model.contract
    entered = _as_valued(listing)
    log = dict(zip(explanation.inputs, explanation.by_input_log[0].tolist(), strict=True))
    dollars = dict(zip(explanation.inputs, explanation.by_input_dollars[0].tolist(), strict=True))
    names = {key: contract.by_key[key].name for key in log}
    contributions = [
        InputContribution(input=name, value=entered[name], log=log[key], dollars=dollars[key])
        for key, name in names.items()
    ]
    features = [
        FeatureContribution(feature=name, value=float(entry), log=float(log))
        for name, entry, log in zip(
            explanation.feature_names,
            champion.model.encoder.transform(columns)[0],
            explanation.contributions_log[0],
            strict=True,
        )
    ]
    answer = ExplainedValuation(
        valuation=valued.only,
        base_price=explanation.base_price,
        contributions=sorted(contributions, key=lambda part: -abs(part.dollars)),
        features=sorted(features, key=lambda part: -abs(part.log)),
        additivity_error=float(explanation.additivity_error[0]),
    )
    return answer, valued


def compare(
    champion: Champion, request: ComparablesRequest, notes: Sequence[CodedMessage] = ()
) -> tuple[ComparableSales, ValuedHomes]:
    """Value one home and find the most similar sold homes.

    Returns:
        The answer, and the valuation for the metrics and the inference log.

    Raises:
        NoSoldHomes: the model's bundle has no sold homes.
    """
    model = champion.model
    valued = value_homes(champion, [request.property], {0: notes} if notes else {})
    columns = as_sold(valued.columns)
    comparison = model.compare(columns, count=request.count, exclude=request.exclude)
    sold = model.sold_homes
    assert sold is not None
    contract = model.contract
    entered = _as_valued(request.property)
    names = [contract.by_key[key].name for key in comparison.inputs]
    comparables = []
    for position, row in enumerate(comparison.found.rows.tolist()):
        home = {
            contract.by_key[key].name: _plain(values[row], contract.by_key[key])
            for key, values in sold.columns.items()
            if key in contract.by_key
        }
        adjustments = [
            Adjustment(input=name, home=entered[name], comparable=home[name], dollars=dollars)
            for name, dollars in zip(names, comparison.adjustments[position].tolist(), strict=True)
        ]
        comparables.append(
            Comparable(
                id=sold.id[row],
                similarity=float(comparison.found.similarity[position]),
                miles=round(float(comparison.found.miles[position]), 2),
                sold_on=sold.columns[KEYS[Role.SALE_DATE]][row].item(),
                price=float(comparison.price[position]),
                adjusted_price=float(comparison.adjusted_price[position]),
                adjustments=sorted(adjustments, key=lambda line: -abs(line.dollars)),
                net_adjustment=float(comparison.net[position]),
                gross_adjustment=float(comparison.gross[position]),
                home=home,
            )
        )
    answer = ComparableSales(
        valuation=valued.only,
        comparables=comparables,
        indicated_price=float(np.median(comparison.adjusted_price)) if comparables else None,
        radius_miles=comparison.found.radius,
        sales_within=comparison.found.within,
    )
    return answer, valued


def market(champion: Champion, query: MarketQuery) -> Market | None:
    """Market statistics by place; None if the model's bundle has none."""
    statistics = champion.model.market
    if statistics is None:
        return None
    rows = statistics.rows(query.by, state=query.state, city=query.city, most=query.limit)
    return Market(
        by=query.by,
        places=[_market_row(row) for row in rows],
        as_of=_day(champion.model.metadata["as_of"]),
        model=model_ref(champion),
    )


def _market_row(row: dict[str, Any]) -> MarketRow:
    medians = {
        name.removeprefix(MEDIAN_OF): figure
        for name, figure in row.items()
        if name.startswith(MEDIAN_OF)
    }
    return MarketRow.model_validate(row | {"medians": medians})


def places(champion: Champion, query: PlacesQuery) -> Places | None:
    """Known places that match the query; None if the model's bundle has no statistics."""
    statistics = champion.model.market
    if statistics is None:
        return None

    def matching(by: By) -> list[Place]:
        rows = statistics.rows(
            by, state=query.state, city=query.city, prefix=query.q, most=query.limit
        )
        return [Place.model_validate(row) for row in rows]

    # A state or city that is already chosen needs no suggestions.
    return Places(
        states=[] if query.state or query.city else matching("state"),
        cities=[] if query.city else matching("city"),
        zip_codes=matching("zip"),
    )


def _as_valued(home: Home) -> dict[str, Any]:
    """The inputs as they are valued: with the status sold and without a sale date."""
    roles = home.contract.by_role
    valued = home.model_dump(mode="json")
    if Role.STATUS in roles:
        valued[roles[Role.STATUS].name] = roles[Role.STATUS].sold[0]
    if Role.SALE_DATE in roles:
        valued[roles[Role.SALE_DATE].name] = None
    return valued


def _plain(entry: Any, column: Column) -> str | bool | int | float | None:
    """One value of a column, as a JSON type."""
    if column.role is Role.STATUS:
        # Only sales are shown.
        return column.sold[0]
    if entry is None or isinstance(entry, str):
        return entry
    if isinstance(entry, np.datetime64):
        return None if np.isnat(entry) else str(entry)
    number = float(entry)
    # Of the texts of ids only hashes are known.
    if np.isnan(number) or column.kind is Kind.CATEGORY:
        return None
    if column.kind is Kind.BOOLEAN:
        return bool(number)
    return int(number) if number.is_integer() else number


def model_info(champion: Champion, history_url: str | None = None) -> ModelInfo:
    """The facts about the model being served.

    Args:
        champion: the model.
        history_url: the MLflow page of its versions; None without MLflow.
    """
    model, facts = champion.model, champion.model.metadata
    return ModelInfo(
        name=REGISTERED_MODEL,
        version=champion.registered.version,
        stage=champion.stage,
        run_id=champion.registered.run_id,
        candidate=model.candidate,
        trained_at=facts["trained_at"],
        data_version=facts["data_version"],
        batches=facts["batches"],
        train_rows=facts["train_rows"],
        as_of=_day(facts["as_of"]),
        metrics=facts["metrics"],
        ratio_study=facts.get("ratio_study"),
        coverage=RANGE,
        confidence_limits=CONFIDENCE_LIMITS,
        feature_names=list(model.encoder.feature_names),
        importance=model.estimator.importance(),
        sold_homes=0 if model.sold_homes is None else len(model.sold_homes),
        history_url=history_url,
        market=market_info(model.contract),
        inputs=described_inputs(model.contract),
        loaded_at=champion.loaded_at,
        bundle_sha256=champion.bundle_sha256,
    )


def _day(value: str | date | datetime) -> str:
    """The day of an ISO date or time."""
    return str(value)[:10]
