"""The service's answers, and what it accepts: the HTTP contract, from which its OpenAPI is made."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SkipValidation

from realtor_model.listing import EXAMPLE_HOME, Property
from realtor_model.valuation.market_statistics import By

MAX_BATCH = 10_000
MAX_COMPARABLES, MAX_EXCLUDED = 20, 200
MAX_PLACES, MAX_SUGGESTED = 1_000, 1_000


class ModelRef(BaseModel):
    """The model that answered."""

    name: str = Field(description="The registered model.")
    version: str
    stage: str = Field(description="Production, or Packaged when no registry has confirmed it.")
    candidate: str = Field(description="The kind of model: xgboost, random_forest, …")


class CodedText(BaseModel):
    """A message with a code that programs can rely on; the wording of the message may change."""

    code: str = Field(description="Stable name of the message, in snake_case.")
    params: dict[str, JsonValue] = Field(description="What the message is about, by name.")
    message: str = Field(description="The message in English.")


class Valuation(BaseModel):
    """What a home would sell for."""

    price: float = Field(description="Estimated sale price, dollars.")
    low: float = Field(description="Lower end of the range, dollars.")
    high: float = Field(description="Upper end of the range, dollars.")
    coverage: float = Field(description="Share of sales that such ranges are made to contain.")
    confidence: Literal["high", "medium", "low"]
    currency: Literal["USD"] = "USD"
    as_of: str = Field(description="The day of the newest data the model learned from.")
    warnings: list[str] = Field(description="What makes this estimate less certain, in words.")
    warning_details: list[CodedText] = Field(
        description="The same warnings, in the same order, with codes and parameters."
    )
    model: ModelRef


class Problem(BaseModel):
    """One thing that is wrong with what was sent."""

    loc: list[str | int] = Field(description="Where: field names and positions.")
    msg: str
    code: str = Field(description="Stable name of the problem, in snake_case.")
    params: dict[str, JsonValue] = Field(
        description="What the problem is about, by name; `input` is the field, where there is one."
    )
    value: JsonValue = Field(description="What was sent there.")


class Refusal(BaseModel):
    """Why a request was not answered."""

    error: str
    code: str = Field(description="Stable name of the reason, in snake_case.")
    params: dict[str, JsonValue] = Field(description="What the reason is about, by name.")
    detail: list[Problem] = Field(description="What is wrong with the body or the query, if it is.")


class RowError(BaseModel):
    """Why one row of a batch was not valued."""

    detail: list[Problem]


class BatchRow(BaseModel):
    """One row of a batch: valued, or not and why."""

    index: int
    valuation: Valuation | None
    error: RowError | None


class BatchRequest(BaseModel):
    """Properties to value together. Each is checked by itself: a bad one spoils no other."""

    properties: list[SkipValidation[dict[str, JsonValue]]] = Field(
        min_length=1, max_length=MAX_BATCH, examples=[[dict(EXAMPLE_HOME)]]
    )


class BatchValuation(BaseModel):
    """The rows of a batch, in the order they were sent."""

    results: list[BatchRow]
    valued: int
    failed: int
    model: ModelRef


class InputContribution(BaseModel):
    """What one thing that was entered adds to the price."""

    input: str
    value: str | float | int | None = Field(description="As it was valued; null for nothing.")
    log: float = Field(description="Its part of the log price.")
    dollars: float = Field(description="Its part of price - base_price.")


class FeatureContribution(BaseModel):
    """What one feature of the model adds to the log price."""

    feature: str
    value: float
    log: float


class ExplainedValuation(BaseModel):
    """A valuation and where its price comes from.

    `base_price` plus the dollars of all contributions is the price, but for the rounding that
    `additivity_error` tells. Contributions are exact in log price, where they add up;
    `price - base_price` is shared out in proportion to them.
    """

    valuation: Valuation
    base_price: float = Field(
        description="What the model says of the listings it learned from, on average (geometric)."
    )
    contributions: list[InputContribution] = Field(description="Largest first.")
    features: list[FeatureContribution] = Field(description="Largest first.")
    additivity_error: float = Field(
        description="|base + contributions - prediction|, in log price: rounding only."
    )


class ComparablesRequest(BaseModel):
    """The home to find comparables of, and which sales are not wanted among them."""

    property: Property = Field(examples=[dict(EXAMPLE_HOME)])
    count: int = Field(5, ge=1, le=MAX_COMPARABLES, description="Comparables wanted.")
    exclude: list[str] = Field(
        default_factory=list, max_length=MAX_EXCLUDED, description="Ids of sales to leave out."
    )

    model_config = ConfigDict(extra="forbid")


class Adjustment(BaseModel):
    """What one difference between the home and a comparable is worth."""

    input: str
    home: str | float | int | None = Field(description="Of the home that is valued.")
    comparable: str | float | int | None = Field(description="Of the comparable.")
    dollars: float = Field(description="Added to the price the comparable sold for.")


class Comparable(BaseModel):
    """A sold home like the one that is valued.

    `price` plus the dollars of all adjustments is `adjusted_price`.
    """

    id: str = Field(description="Names this sale: exclude it by this.")
    similarity: float = Field(
        description="From 0 to 1: the share of the model's trees in which both homes fall into the "
        "same leaf; of a model without trees, how near their features are."
    )
    miles: float = Field(description="Between the centres of both zips.")
    sold_on: date
    price: float = Field(description="What it sold for, dollars.")
    adjusted_price: float = Field(description="What it would have sold for as the home valued.")
    adjustments: list[Adjustment] = Field(description="Largest first.")
    net_adjustment: float = Field(description="What they add up to, relative to the price.")
    gross_adjustment: float = Field(
        description="What they add up to without their signs, relative to the price: how unlike "
        "the home the sale is. Appraisers seek 15 % net and 25 % gross at most."
    )
    home: dict[str, str | float | int | None] = Field(description="Its inputs, as listed.")


class ComparableSales(BaseModel):
    """A valuation beside the sales most like it."""

    valuation: Valuation
    comparables: list[Comparable] = Field(description="Most similar first.")
    indicated_price: float | None = Field(
        description="Median of the adjusted prices, dollars; null without comparables."
    )
    radius_miles: float = Field(description="How far was searched: widened until it was enough.")
    sales_within: int = Field(description="Sales within the radius, of which these are the best.")


class MarketQuery(BaseModel):
    """Which places' statistics are wanted."""

    by: By = Field("state", description="state, city or zip.")
    state: str | None = Field(None, max_length=100, description="Only within this state.")
    city: str | None = Field(None, max_length=100, description="Only within this city.")
    limit: int = Field(100, ge=1, le=MAX_PLACES, description="Places wanted; the largest come.")

    model_config = ConfigDict(extra="forbid")


class NoQuery(BaseModel):
    """Nothing is to be asked."""

    model_config = ConfigDict(extra="forbid")


class MarketRow(BaseModel):
    """Listings of one place in the model's train rows: asking prices and sales together."""

    state: str | None
    city: str | None
    zip_code: str | None
    listings: int
    sold: int = Field(description="How many of the listings are sales.")
    price_p10: float
    price_p25: float
    median_price: float
    price_p75: float
    price_p90: float
    price_per_sqft_p25: float | None
    median_price_per_sqft: float | None = Field(description="Null where no listing tells a size.")
    price_per_sqft_p75: float | None
    house_size_p25: float | None
    median_house_size: float | None = Field(
        description="Square feet; null of a model trained before sizes were kept, too."
    )
    house_size_p75: float | None
    acre_lot_p25: float | None
    median_acre_lot: float | None = Field(description="Acres; null like the house size.")
    acre_lot_p75: float | None


class Market(BaseModel):
    """Statistics by place, the place with most listings first."""

    by: By
    places: list[MarketRow]
    as_of: str = Field(description="The day of the newest data.")
    model: ModelRef


class PlacesQuery(BaseModel):
    """What a person has entered of a place so far."""

    state: str | None = Field(None, max_length=100)
    city: str | None = Field(None, max_length=100)
    q: str = Field("", max_length=100, description="How the name or the zip begins.")
    limit: int = Field(20, ge=1, le=MAX_SUGGESTED, description="Of each kind, at most.")

    model_config = ConfigDict(extra="forbid")


class Place(BaseModel):
    """A place that the model knows."""

    state: str | None
    city: str | None = None
    zip_code: str | None = None
    listings: int


class Places(BaseModel):
    """What the model knows that begins like this, the place with most listings first."""

    states: list[Place]
    cities: list[Place]
    zip_codes: list[Place]


class ReloadResult(BaseModel):
    """What asking the registry changed."""

    before: str | None
    after: str
    changed: bool


class ModelInfo(BaseModel):
    """The model being served: where it comes from, how good it is, what it accepts."""

    name: str
    version: str
    stage: str
    run_id: str
    candidate: str
    trained_at: str
    data_version: str
    batches: list[int]
    train_rows: int
    as_of: str
    metrics: dict[str, dict[str, float]]
    ratio_study: dict[str, float] | None
    coverage: float
    confidence_limits: dict[str, float] = Field(
        description="The widest half of the 68 % range, relative to the price, of each grade; what "
        "is wider is low."
    )
    feature_names: list[str]
    importance: dict[str, float] = Field(
        description="Mean |SHAP value| of each feature over train rows, log dollars."
    )
    sold_homes: int = Field(description="Sales that comparables are taken from.")
    history_url: str | None = Field(description="All versions of the model, in MLflow.")
    inputs: dict[str, dict[str, Any]]
    loaded_at: datetime
    bundle_sha256: str


class Endpoint(BaseModel):
    """One thing the service offers."""

    method: str
    path: str
    summary: str


class Index(BaseModel):
    """What the service offers."""

    service: str
    version: str
    description: str
    endpoints: list[Endpoint]
    docs: str


class HealthModel(ModelRef):
    """The model that would answer."""

    trained_at: str


class Health(BaseModel):
    """The service has a model."""

    status: Literal["ok"]
    model: HealthModel
