"""From checked properties to answers: the one path that every endpoint takes through the model.

Homes are valued as sold: the question is what a home would sell for, whatever its listing says.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from realtor_model.features import take
from realtor_model.listing import (
    INPUTS,
    RANGES,
    STATUSES,
    Columns,
    Property,
    as_sold,
    columns_from_properties,
    properties_from_columns,
)
from realtor_model.messages import CodedMessage
from realtor_model.registry_names import REGISTERED_MODEL
from realtor_model.valuation.home_tables import read_rows
from realtor_model.valuation.intervals import RANGE
from realtor_model.valuation.market_statistics import By
from realtor_model.valuation.valuation_model import CONFIDENCE_LIMITS
from realtor_serving.champion.served_champion import Champion
from realtor_serving.contract.problems import problems
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

_ANY: TypeAdapter[Any] = TypeAdapter(Any)


def model_ref(champion: Champion) -> ModelRef:
    """The model, as every answer names it."""
    return ModelRef(
        name=REGISTERED_MODEL,
        version=champion.registered.version,
        stage=champion.stage,
        candidate=champion.model.candidate,
    )


@dataclass(frozen=True)
class ValuedHomes:
    """n homes with their values.

    Attributes:
        columns: the homes (n,) as they were entered.
        price, low, high: (n,) dollars, in whole cents.
        confidence: (n,).
        warnings: by row; rows without any are left out.
        unknown: by input, how many homes name a place that is new to the model.
        homes: the same homes as they were read, where each was read by itself.
    """

    champion: Champion
    columns: Columns
    price: list[float]
    low: list[float]
    high: list[float]
    confidence: list[str]
    warnings: Mapping[int, list[CodedMessage]]
    unknown: Mapping[str, int]
    homes: Sequence[Property] | None = None

    def rows(self) -> list[dict[str, Any]]:
        """The fields of each home's `Valuation`; making the models would double the time.

        All rows share one `model` object.
        """
        model = model_ref(self.champion).model_dump()
        as_of = _day(self.champion.model.metadata["as_of"])
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
                    "currency": "USD",
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
        homes = properties_from_columns(self.columns) if self.homes is None else self.homes
        for home, *dollars in zip(homes, self.price, self.low, self.high, strict=True):
            yield Answer(endpoint, version, home.model_dump_json(exclude_none=True), *dollars)

    @property
    def only(self) -> Valuation:
        """The valuation of one home."""
        (fields,) = self.rows()
        return Valuation(**fields)


def value(
    champion: Champion, columns: Columns, homes: Sequence[Property] | None = None
) -> ValuedHomes:
    """Value n homes as sold; columns (n,) as they were entered, `homes` where they were read so."""
    values = champion.model.value(as_sold(columns))
    price, low, high = np.round([values.price, values.low, values.high], 2).tolist()
    # An unknown place is always warned of; most homes have no warning, and need not be counted.
    unknown = (
        {name: int(rows.sum()) for name, rows in values.unknown.items()} if values.warnings else {}
    )
    confidence = values.confidence.tolist()
    return ValuedHomes(
        champion, columns, price, low, high, confidence, values.warnings, unknown, homes
    )


def value_homes(champion: Champion, homes: Sequence[Property]) -> ValuedHomes:
    """Value n homes as sold."""
    return value(champion, columns_from_properties(homes), homes)


@dataclass(frozen=True)
class ValuedBatch:
    """n rows, each checked by itself: what those at `positions` are worth, and by position why the
    others have no value."""

    valued: ValuedHomes
    positions: list[int]
    errors: Mapping[int, list[Problem]]

    def json(self) -> bytes:
        """A `BatchValuation`, written from columns."""
        valued = dict(zip(self.positions, self.valued.rows(), strict=True))
        errors = {
            row: {"detail": [each.model_dump() for each in found]}
            for row, found in self.errors.items()
        }
        return _ANY.dump_json(
            {
                "results": [
                    {"index": row, "valuation": valued.get(row), "error": errors.get(row)}
                    for row in range(len(valued) + len(errors))
                ],
                "valued": len(valued),
                "failed": len(errors),
                "model": model_ref(self.valued.champion).model_dump(),
            }
        )


def value_rows(champion: Champion, rows: Sequence[Any]) -> ValuedBatch:
    """The valuations of n rows, each checked by itself."""
    columns, refused = read_rows(rows)
    positions = [row for row in range(len(rows)) if row not in refused]
    valued = value(champion, take(columns, np.array(positions, np.intp)))
    return ValuedBatch(valued, positions, {row: problems(each) for row, each in refused.items()})


def explain(champion: Champion, listing: Property) -> tuple[ExplainedValuation, ValuedHomes]:
    """The valuation of one property and its reasons.

    The model's contributions are exact and additive in log price; in dollars, each gets its share
    of price - base_price in proportion to them, so that they too add up.
    """
    valued = value_homes(champion, [listing])
    columns = as_sold(valued.columns)
    explanation = champion.model.explain(columns)
    entered = _as_valued(listing)
    log = dict(zip(explanation.inputs, explanation.by_input_log[0].tolist(), strict=True))
    dollars = dict(zip(explanation.inputs, explanation.by_input_dollars[0].tolist(), strict=True))
    if listing.zip_code is None:
        # The place is then known by the city or the state: a zip that is not told adds nothing.
        told = "state" if listing.city is None else "city"
        for amounts in (log, dollars):
            amounts[told] += amounts["zip_code"]
            amounts["zip_code"] = 0.0
    contributions = [
        InputContribution(input=name, value=entered[name], log=log[name], dollars=dollars[name])
        for name in log
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
        contributions=sorted(contributions, key=lambda each: -abs(each.dollars)),
        features=sorted(features, key=lambda each: -abs(each.log)),
        additivity_error=float(explanation.additivity_error[0]),
    )
    return answer, valued


def compare(champion: Champion, request: ComparablesRequest) -> tuple[ComparableSales, ValuedHomes]:
    """The valuation of one property, and the sold homes most like it.

    Raises `NoSoldHomes` when the model carries none.
    """
    model = champion.model
    valued = value_homes(champion, [request.property])
    columns = as_sold(valued.columns)
    told = model.compare(columns, count=request.count, exclude=request.exclude)
    sold = model.sold_homes
    assert sold is not None
    entered = _as_valued(request.property)
    comparables = []
    for position, row in enumerate(told.found.rows.tolist()):
        home = {name: _plain(values[row]) for name, values in sold.columns.items()}
        adjustments = [
            Adjustment(input=name, home=entered[name], comparable=home[name], dollars=dollars)
            for name, dollars in zip(told.inputs, told.adjustments[position].tolist(), strict=True)
        ]
        comparables.append(
            Comparable(
                id=sold.id[row],
                similarity=float(told.found.similarity[position]),
                miles=round(float(told.found.miles[position]), 2),
                sold_on=sold.columns["prev_sold_date"][row].item(),
                price=float(told.price[position]),
                adjusted_price=float(told.adjusted_price[position]),
                adjustments=sorted(adjustments, key=lambda each: -abs(each.dollars)),
                net_adjustment=float(told.net[position]),
                gross_adjustment=float(told.gross[position]),
                home=home,
            )
        )
    answer = ComparableSales(
        valuation=valued.only,
        comparables=comparables,
        indicated_price=float(np.median(told.adjusted_price)) if comparables else None,
        radius_miles=told.found.radius,
        sales_within=told.found.within,
    )
    return answer, valued


def market(champion: Champion, query: MarketQuery) -> Market | None:
    """Statistics by place; None when the model carries none."""
    statistics = champion.model.market
    if statistics is None:
        return None
    rows = statistics.rows(query.by, state=query.state, city=query.city, most=query.limit)
    return Market(
        by=query.by,
        places=[MarketRow.model_validate(row) for row in rows],
        as_of=_day(champion.model.metadata["as_of"]),
        model=model_ref(champion),
    )


def places(champion: Champion, query: PlacesQuery) -> Places | None:
    """Places that begin as entered; None when the model carries no names."""
    statistics = champion.model.market
    if statistics is None:
        return None

    def found(by: By) -> list[Place]:
        rows = statistics.rows(
            by, state=query.state, city=query.city, prefix=query.q, most=query.limit
        )
        return [Place.model_validate(row) for row in rows]

    # A place that is settled already needs no suggestion.
    return Places(
        states=[] if query.state or query.city else found("state"),
        cities=[] if query.city else found("city"),
        zip_codes=found("zip"),
    )


def _as_valued(listing: Property) -> dict[str, Any]:
    """What was entered, as it is valued: sold, whatever the listing says, and now."""
    return listing.model_dump(mode="json") | {"status": "sold", "prev_sold_date": None}


def _plain(entry: Any) -> str | float | int | None:
    """One value of a column, as JSON has it."""
    if entry is None or isinstance(entry, str):
        return entry
    if isinstance(entry, np.datetime64):
        return None if np.isnat(entry) else str(entry)
    number = float(entry)
    if np.isnan(number):
        return None
    return int(number) if number.is_integer() else number


def model_info(champion: Champion, history_url: str | None = None) -> ModelInfo:
    """All that is known of the model being served."""
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
        inputs=allowed_inputs(),
        loaded_at=champion.loaded_at,
        bundle_sha256=champion.bundle_sha256,
    )


def allowed_inputs() -> dict[str, dict[str, Any]]:
    """What each of the 11 inputs may be."""
    described: dict[str, dict[str, Any]] = {}
    for name in INPUTS:
        if name in RANGES:
            allowed = RANGES[name]
            described[name] = {"low": allowed.low, "high": allowed.high, "unit": allowed.unit}
        elif name == "status":
            described[name] = {"choices": list(STATUSES)}
        else:
            described[name] = {"format": "date" if name == "prev_sold_date" else "text"}
        described[name]["description"] = Property.model_fields[name].description
    return described


def _day(value: str | date | datetime) -> str:
    """The day of an ISO date or time."""
    return str(value)[:10]
