"""From checked properties to answers: the one path that every endpoint takes through the model.

Homes are valued as sold: the question is what a home would sell for, whatever its listing says.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from pydantic import ValidationError

from realtor_model.features import as_sold, columns_from_properties
from realtor_model.intervals import RANGE
from realtor_model.listing import INPUTS, RANGES, REGISTERED_MODEL, STATUSES, Property
from realtor_serving.champion import Champion
from realtor_serving.requests import problems
from realtor_serving.schemas import (
    BatchRow,
    BatchValuation,
    ExplainedValuation,
    FeatureContribution,
    InputContribution,
    ModelInfo,
    ModelRef,
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
    warnings = champion.model.warnings(columns)
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
            warnings=warnings.get(i, []),
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
    # What was valued: the home as sold, not as listed.
    entered = listing.model_dump(mode="json") | {"status": "sold", "prev_sold_date": None}
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


def model_info(champion: Champion) -> ModelInfo:
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
        feature_names=list(model.encoder.feature_names),
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
    return described


def _day(value: str | date | datetime) -> str:
    """The day of an ISO date or time."""
    return str(value)[:10]
