"""From checked properties to answers: the one path that every endpoint takes through the model.

Homes are valued as sold: the question is what a home would sell for, whatever its listing says.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
from pydantic import ValidationError

from realtor_model.bundle import CONFIDENCE_LIMITS
from realtor_model.features import as_sold, columns_from_properties
from realtor_model.intervals import RANGE
from realtor_model.listing import INPUTS, RANGES, REGISTERED_MODEL, STATUSES, Property
from realtor_model.market import By
from realtor_serving.champion import Champion
from realtor_serving.requests import problems
from realtor_serving.schemas import (
    Adjustment,
    BatchRow,
    BatchValuation,
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
    RowError,
    Valuation,
)


def model_ref(champion: Champion) -> ModelRef:
    """The model, as every answer names it."""
    return ModelRef(
        name=REGISTERED_MODEL,
        version=champion.release.version,
        stage=champion.stage,
        candidate=champion.model.candidate,
    )


def value(champion: Champion, properties: Sequence[Property]) -> list[Valuation]:
    """The valuations of n properties, in their order."""
    columns = as_sold(columns_from_properties(properties))
    values = champion.model.value(columns)
    model = model_ref(champion)
    as_of = _day(champion.model.metadata["as_of"])
    return [
        Valuation(
            price=round(float(values.price[i]), 2),
            low=round(float(values.low[i]), 2),
            high=round(float(values.high[i]), 2),
            coverage=RANGE,
            confidence=values.confidence[i],
            as_of=as_of,
            warnings=values.warnings.get(i, []),
            model=model,
        )
        for i in range(len(properties))
    ]


def value_rows(
    champion: Champion, rows: Sequence[Mapping[str, Any]]
) -> tuple[BatchValuation, list[Property], list[Valuation]]:
    """The valuations of n rows, each checked by itself; with the properties that passed."""
    properties: list[Property] = []
    positions: list[int] = []
    errors: dict[int, RowError] = {}
    for index, row in enumerate(rows):
        try:
            properties.append(Property.model_validate(row))
        except ValidationError as error:
            errors[index] = RowError(detail=problems(error))
        else:
            positions.append(index)
    valuations = value(champion, properties) if properties else []
    valued = dict(zip(positions, valuations, strict=True))
    answer = BatchValuation(
        results=[
            BatchRow(index=index, valuation=valued.get(index), error=errors.get(index))
            for index in range(len(rows))
        ],
        valued=len(valued),
        failed=len(errors),
        model=model_ref(champion),
    )
    return answer, properties, valuations


def explain(champion: Champion, listing: Property) -> ExplainedValuation:
    """The valuation of one property and its reasons.

    The model's contributions are exact and additive in log price; in dollars, each gets its share
    of price - base_price in proportion to them, so that they too add up.
    """
    (valuation,) = value(champion, [listing])
    columns = as_sold(columns_from_properties([listing]))
    explanation = champion.model.explain(columns)
    entered = _as_valued(listing)
    contributions = [
        InputContribution(input=name, value=entered[name], log=float(log), dollars=float(dollars))
        for name, log, dollars in zip(
            explanation.inputs,
            explanation.by_input_log[0],
            explanation.by_input_dollars[0],
            strict=True,
        )
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
    return ExplainedValuation(
        valuation=valuation,
        base_price=explanation.base_price,
        contributions=sorted(contributions, key=lambda each: -abs(each.dollars)),
        features=sorted(features, key=lambda each: -abs(each.log)),
        additivity_error=float(explanation.additivity_error[0]),
    )


def compare(champion: Champion, request: ComparablesRequest) -> ComparableSales:
    """The valuation of one property, and the sold homes most like it.

    Raises `NoSoldHomes` when the model carries none.
    """
    model = champion.model
    (valuation,) = value(champion, [request.property])
    columns = as_sold(columns_from_properties([request.property]))
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
                home=home,
            )
        )
    return ComparableSales(
        valuation=valuation,
        comparables=comparables,
        indicated_price=float(np.median(told.adjusted_price)) if comparables else None,
        radius_miles=told.found.radius,
        sales_within=told.found.within,
    )


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
        version=champion.release.version,
        stage=champion.stage,
        run_id=champion.release.run_id,
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
