"""Request and response schemas of the service; its OpenAPI document is made from them."""

from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SkipValidation, create_model

from realtor_model.listing import Home, ListingContract, home_model
from realtor_model.valuation.market_statistics import By

MAX_BATCH = 10_000
MAX_COMPARABLES, MAX_EXCLUDED = 20, 200
MAX_PLACES, MAX_SUGGESTED = 1_000, 1_000

# A value of an input. Texts, numbers and booleans are told apart by their JSON type.
Value = str | bool | int | float | None


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
    """The estimated sale price of a home, with its range."""

    price: float = Field(description="Estimated sale price.")
    low: float = Field(description="Lower end of the range.")
    high: float = Field(description="Upper end of the range.")
    coverage: float = Field(
        description="Share of sale prices that the ranges are calibrated to contain."
    )
    confidence: Literal["high", "medium", "low"]
    currency: str = Field(
        description="ISO 4217 code of the market's currency: that of all prices, also those that "
        "are called dollars."
    )
    as_of: str = Field(description="Day of the newest data that the model learned from.")
    warnings: list[str] = Field(description="Reasons why this estimate is less certain, as text.")
    warning_details: list[CodedText] = Field(
        description="The same warnings, in the same order, with codes and parameters."
    )
    model: ModelRef


class Problem(BaseModel):
    """One error in the data that was sent."""

    loc: list[str | int] = Field(description="Where: field names and positions.")
    msg: str
    code: str = Field(description="Stable name of the problem, in snake_case.")
    params: dict[str, JsonValue] = Field(
        description="What the problem is about, by name; `input` is the field, where there is one."
    )
    value: JsonValue = Field(description="The value that was sent.")


class Refusal(BaseModel):
    """Why a request was not answered."""

    error: str
    code: str = Field(description="Stable name of the reason, in snake_case.")
    params: dict[str, JsonValue] = Field(description="What the reason is about, by name.")
    detail: list[Problem] = Field(description="Errors in the body or the query; else empty.")


class RowError(BaseModel):
    """The reasons why a row of a batch was not valued."""

    detail: list[Problem]


class BatchRow(BaseModel):
    """One row of a batch: its valuation, or the error."""

    index: int
    valuation: Valuation | None
    error: RowError | None


class BatchRequest(BaseModel):
    """Properties to value together. Each is checked on its own."""

    properties: list[SkipValidation[dict[str, JsonValue]]] = Field(
        min_length=1, max_length=MAX_BATCH
    )


class BatchValuation(BaseModel):
    """The rows of a batch, in the order they were sent."""

    results: list[BatchRow]
    valued: int
    failed: int
    notes: list[CodedText] = Field(
        description="How the rows were read, where it is not plain: units, decimal signs, the "
        "order of days and months, columns that are not used."
    )
    model: ModelRef


class InputContribution(BaseModel):
    """The contribution of one input to the price."""

    input: str
    value: Value = Field(description="The value used; null for an empty input.")
    log: float = Field(description="Its part of the log price.")
    dollars: float = Field(description="Its part of price - base_price.")


class FeatureContribution(BaseModel):
    """The contribution of one feature of the model to the log price."""

    feature: str
    value: float
    log: float


class ExplainedValuation(BaseModel):
    """A valuation and the contributions that make up its price.

    `base_price` plus the dollars of all contributions equals the price, up to the rounding error
    in `additivity_error`. Contributions are exact and additive in log price; in dollars,
    `price - base_price` is divided in proportion to them.
    """

    valuation: Valuation
    base_price: float = Field(
        description="Geometric mean of the model's prices over the listings it learned from."
    )
    contributions: list[InputContribution] = Field(description="Largest first.")
    features: list[FeatureContribution] = Field(description="Largest first.")
    additivity_error: float = Field(
        description="|base + contributions - prediction|, in log price: rounding only."
    )


class ComparablesRequest(BaseModel):
    """A home to find comparables for, and the sales to leave out."""

    property: Home
    count: int = Field(5, ge=1, le=MAX_COMPARABLES, description="Comparables wanted.")
    exclude: list[str] = Field(
        default_factory=list, max_length=MAX_EXCLUDED, description="Ids of sales to leave out."
    )

    model_config = ConfigDict(extra="forbid")


@lru_cache(maxsize=4)
def comparables_request(contract: ListingContract) -> type[ComparablesRequest]:
    """The class of requests for comparables in a market."""
    home: Any = Annotated[home_model(contract), Field(examples=[dict(contract.example_home)])]
    return create_model("ComparablesRequest", __base__=ComparablesRequest, property=(home, ...))


@lru_cache(maxsize=4)
def batch_request(contract: ListingContract) -> type[BatchRequest]:
    """`BatchRequest` with a home of the market as its example."""
    rows: Any = Annotated[
        list[SkipValidation[dict[str, JsonValue]]],
        Field(min_length=1, max_length=MAX_BATCH, examples=[[dict(contract.example_home)]]),
    ]
    return create_model("BatchRequest", __base__=BatchRequest, properties=(rows, ...))


class Adjustment(BaseModel):
    """The adjustment of a comparable's price for one difference from the home."""

    input: str
    home: Value = Field(description="Value of the home that is valued.")
    comparable: Value = Field(description="Value of the comparable.")
    dollars: float = Field(description="Added to the price the comparable sold for.")


class Comparable(BaseModel):
    """A sold home that is similar to the one that is valued.

    `price` plus the dollars of all adjustments equals `adjusted_price`.
    """

    id: str = Field(description="Id of this sale, for `exclude`.")
    similarity: float = Field(
        description="From 0 to 1: the share of the model's trees in which both homes fall into the "
        "same leaf. Models without trees compare the distance of the features."
    )
    miles: float = Field(
        description="Distance of both homes, or of the centres of their zip codes where the homes "
        "have no coordinates."
    )
    sold_on: date | None = Field(description="Day of the sale; null if the market has no dates.")
    price: float = Field(description="Sale price, dollars.")
    adjusted_price: float = Field(description="Sale price after all adjustments.")
    adjustments: list[Adjustment] = Field(description="Largest first.")
    net_adjustment: float = Field(description="Sum of the adjustments, relative to the price.")
    gross_adjustment: float = Field(
        description="Sum of the absolute adjustments, relative to the price. Appraisers usually "
        "accept at most 15 % net and 25 % gross."
    )
    home: dict[str, Value] = Field(description="Inputs of the sold home.")


class ComparableSales(BaseModel):
    """A valuation and the most similar sales."""

    valuation: Valuation
    comparables: list[Comparable] = Field(description="Most similar first.")
    indicated_price: float | None = Field(
        description="Median of the adjusted prices; null without comparables."
    )
    radius_miles: float = Field(
        description="Search radius; it grows until enough sales are inside."
    )
    sales_within: int = Field(description="Number of sales within the radius.")


class MarketQuery(BaseModel):
    """The places whose statistics are requested."""

    by: By = Field("state", description="state, city or zip.")
    state: str | None = Field(None, max_length=100, description="Only within this state.")
    city: str | None = Field(None, max_length=100, description="Only within this city.")
    limit: int = Field(
        100, ge=1, le=MAX_PLACES, description="Maximum number of places; the largest are returned."
    )

    model_config = ConfigDict(extra="forbid")


class NoQuery(BaseModel):
    """A query without parameters."""

    model_config = ConfigDict(extra="forbid")


class MarketRow(BaseModel):
    """Statistics of one place over the model's train rows: listings for sale and sales."""

    state: str | None
    city: str | None
    zip_code: str | None
    listings: int
    sold: int = Field(description="Number of the listings that are sales.")
    price_p10: float
    price_p25: float
    median_price: float
    price_p75: float
    price_p90: float
    price_per_sqft_p25: float | None
    median_price_per_sqft: float | None = Field(description="Null if no listing has a size.")
    price_per_sqft_p75: float | None
    house_size_p25: float | None
    median_house_size: float | None = Field(
        description="Square feet; also null for older models, which have no size statistics."
    )
    house_size_p75: float | None
    acre_lot_p25: float | None
    median_acre_lot: float | None = Field(description="Acres; null as for the house size.")
    acre_lot_p75: float | None
    medians: dict[str, float | None] = Field(
        description="Median of each number that the market adds, by its name."
    )


class Market(BaseModel):
    """Statistics by place. Places with the most listings come first."""

    by: By
    places: list[MarketRow]
    as_of: str = Field(description="The day of the newest data.")
    model: ModelRef


class PlacesQuery(BaseModel):
    """The part of a place that a person has entered so far."""

    state: str | None = Field(None, max_length=100)
    city: str | None = Field(None, max_length=100)
    q: str = Field("", max_length=100, description="First characters of the name or the zip code.")
    limit: int = Field(
        20, ge=1, le=MAX_SUGGESTED, description="Maximum number of places of each kind."
    )

    model_config = ConfigDict(extra="forbid")


class Place(BaseModel):
    """A place that the model knows."""

    state: str | None
    city: str | None = None
    zip_code: str | None = None
    listings: int


class Places(BaseModel):
    """Known places that match the query. Places with the most listings come first."""

    states: list[Place]
    cities: list[Place]
    zip_codes: list[Place]


class ReloadResult(BaseModel):
    """The version served before and after a reload."""

    before: str | None
    after: str
    changed: bool


class ColumnWords(BaseModel):
    """The words for a column, and its names in files."""

    name: str
    label: dict[str, str] = Field(description="What people call it, by language: en and es.")
    help: dict[str, str] = Field(description="A sentence about it, by language: en and es.")
    headers: dict[str, float] = Field(
        description="Other headers in files, and what values under them are multiplied by."
    )


class MarketInfo(BaseModel):
    """The market that the model was trained for."""

    name: str
    title: dict[str, str] = Field(description="What people call it, by language: en and es.")
    currency: str = Field(description="ISO 4217 code of all prices.")
    version: str = Field(description="Hash of what its declaration says about data.")
    has_coordinates: bool = Field(description="Whether homes have coordinates of their own.")
    price: ColumnWords = Field(description="The column of the price in files.")
    places: list[list[str]] = Field(
        description="A home needs all inputs of one of these lists, or it has no place."
    )
    sizes: list[str] = Field(description="A home needs one of these inputs, or it has no size.")
    declaration: dict[str, JsonValue] = Field(
        description="The whole declaration of the market's columns, as in a market file."
    )


class ModelInfo(BaseModel):
    """The model being served: its origin, metrics and allowed inputs."""

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
        description="Largest half-width of the 68 % range of each grade, relative to the price. "
        "Wider ranges have the grade low."
    )
    feature_names: list[str]
    importance: dict[str, float] = Field(
        description="Mean |SHAP value| of each feature over train rows, log dollars."
    )
    sold_homes: int = Field(description="Number of sales that comparables are taken from.")
    history_url: str | None = Field(description="MLflow page of all versions of the model.")
    market: MarketInfo
    inputs: dict[str, dict[str, Any]] = Field(
        description="By name, in the order of a form, the inputs of a home: type, role, key, "
        "description, label, help, headers, monotone (1: the price never falls as the value rises, "
        "-1: it never rises) and moves_estimate; and where they apply low, high, unit, step, "
        "usual, choices, format, default and example."
    )
    loaded_at: datetime
    bundle_sha256: str


class Endpoint(BaseModel):
    """An endpoint of the service."""

    method: str
    path: str
    summary: str


class Index(BaseModel):
    """The endpoints of the service."""

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
