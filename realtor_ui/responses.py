"""The service's responses, as far as the app shows them."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

By = Literal["state", "city", "zip"]
Value = bool | str | float | int | None
# Language → what people call something.
Words = dict[str, str]


class CodedMessage(BaseModel):
    """A message with a stable code and parameters; `message` says it in English."""

    code: str = ""
    params: dict[str, Any] = Field(default_factory=dict)
    message: str = ""


class Problem(BaseModel):
    """What is wrong with one field of a request. loc: field names and positions."""

    loc: list[str | int] = Field(default_factory=list)
    msg: str = ""
    value: Any = None
    code: str = ""
    params: dict[str, Any] = Field(default_factory=dict)

    @property
    def coded_message(self) -> CodedMessage:
        """The problem as a message, with the field and what was sent as parameters."""
        params = {"value": self.value, **self.params}
        if self.loc:
            params.setdefault("input", str(self.loc[-1]))
        return CodedMessage(code=self.code, params=params, message=self.msg)


class Refusal(BaseModel):
    """Why a request was refused, as a whole and field by field."""

    error: str
    detail: list[Problem] = Field(default_factory=list)
    code: str = ""
    params: dict[str, Any] = Field(default_factory=dict)

    @property
    def coded_message(self) -> CodedMessage:
        """The refusal as a message."""
        return CodedMessage(code=self.code, params=self.params, message=self.error)


class ModelRef(BaseModel):
    """The model that made a valuation."""

    name: str
    version: str
    stage: str
    candidate: str


class Valuation(BaseModel):
    """The estimated sale price of a home and its range, dollars."""

    price: float
    low: float
    high: float
    coverage: float
    confidence: Literal["high", "medium", "low"]
    as_of: date
    warnings: list[str]
    warning_details: list[CodedMessage] = Field(default_factory=list)
    model: ModelRef

    @property
    def coded_warnings(self) -> list[CodedMessage]:
        """The warnings with their codes; an older service sends sentences only."""
        return self.warning_details or [CodedMessage(message=words) for words in self.warnings]


class Contribution(BaseModel):
    """The effect of one input on the price, dollars."""

    input: str
    value: Value
    dollars: float


class FeatureContribution(BaseModel):
    """The effect of one feature of the model on the log price."""

    feature: str
    value: float
    log: float


class ExplainedValuation(BaseModel):
    """A valuation and its reasons: base_price plus all contributions is the price."""

    valuation: Valuation
    base_price: float
    contributions: list[Contribution]
    features: list[FeatureContribution]


class Adjustment(BaseModel):
    """The value of one difference between the home and a comparable, dollars."""

    input: str
    home: Value
    comparable: Value
    dollars: float


class Comparable(BaseModel):
    """A comparable sale; price plus all adjustments is adjusted_price."""

    id: str
    similarity: float
    miles: float
    sold_on: date | None
    price: float
    adjusted_price: float
    adjustments: list[Adjustment]
    net_adjustment: float
    gross_adjustment: float
    home: dict[str, Value]


class ComparableSales(BaseModel):
    """The comparable sales of a home, the most similar first."""

    comparables: list[Comparable]
    indicated_price: float | None
    radius_miles: float
    sales_within: int


class RowValue(BaseModel):
    """One row of a batch: its valuation, or None if it could not be valued."""

    index: int
    valuation: Valuation | None


class BatchValuation(BaseModel):
    """The rows of a batch, in the order they were sent."""

    results: list[RowValue]


class Input(BaseModel):
    """An input of the served model, as its market declares it.

    role: what it is used for; "input" for those that the market adds. key: its name in the history
    of the pipeline. low, high, unit: of numbers. step: by how much the form changes a number.
    usual: the interval that a curve shows. choices: all values of a category; None: any text.
    headers: other names of its column in files → what values under them are multiplied by.
    moves_estimate: whether the estimate depends on it.
    """

    type: Literal["number", "integer", "boolean", "category", "date"]
    role: str
    key: str
    label: Words
    help: Words
    headers: dict[str, float]
    moves_estimate: bool
    low: float | None = None
    high: float | None = None
    unit: str | None = None
    step: float | None = None
    usual: tuple[float, float] | None = None
    choices: list[str] | None = None
    default: str | None = None
    example: Value = None

    @property
    def is_number(self) -> bool:
        """Whether it is a number or a whole number with a range."""
        return self.type in ("number", "integer") and self.low is not None

    @property
    def is_id(self) -> bool:
        """Whether its numbers are names: those of brokers and properties."""
        return self.role in ("id", "broker")


class Target(BaseModel):
    """The price: its name in files and what people call it."""

    name: str
    label: Words
    help: Words


class MarketInfo(BaseModel):
    """The market of the served model.

    title: what people call it. currency: ISO 4217 code of all prices. version: of what its
    declaration says about data. places: a home needs all inputs of one of these lists. sizes: a
    home needs one of these inputs, if there are any. declaration: of its columns, as in a market
    file.
    """

    title: Words
    currency: str
    version: str
    has_coordinates: bool
    price: Target
    places: list[list[str]]
    sizes: list[str]
    declaration: dict[str, Any]


class ModelInfo(BaseModel):
    """The model in production, and its inputs by name, in the order of the form."""

    version: str
    stage: str
    candidate: str
    trained_at: datetime
    as_of: date
    batches: list[int]
    train_rows: int
    coverage: float
    metrics: dict[str, dict[str, float]]
    importance: dict[str, float]
    market: MarketInfo
    inputs: dict[str, Input]
    loaded_at: datetime

    def name_of(self, role: str) -> str | None:
        """The name of the input with a role other than "input", or None if there is none."""
        return next((name for name, each in self.inputs.items() if each.role == role), None)

    def value_of(self, home: Mapping[str, Value], role: str) -> Any:
        """The value of the input with a role in a home, or None."""
        name = self.name_of(role)
        return None if name is None else home.get(name)


class MarketRow(BaseModel):
    """Figures of one place, in the units of the market. Older models have no sizes."""

    state: str | None
    city: str | None
    zip_code: str | None
    listings: int
    sold: int
    price_p10: float
    price_p25: float
    median_price: float
    price_p75: float
    price_p90: float
    price_per_sqft_p25: float | None
    median_price_per_sqft: float | None
    price_per_sqft_p75: float | None
    house_size_p25: float | None = None
    median_house_size: float | None = None
    house_size_p75: float | None = None
    acre_lot_p25: float | None = None
    median_acre_lot: float | None = None
    acre_lot_p75: float | None = None


class Market(BaseModel):
    """Statistics by place, the place with most listings first."""

    by: By
    places: list[MarketRow]


class Place(BaseModel):
    """A place that the model knows."""

    state: str | None
    city: str | None = None
    zip_code: str | None = None
    listings: int


class Places(BaseModel):
    """Places whose names start as entered, the place with most listings first."""

    states: list[Place]
    cities: list[Place]
    zip_codes: list[Place]


class Coordinates(BaseModel):
    """The zips in the training data, column by column; an older service sends no sizes."""

    zip_code: list[str]
    state: list[str | None]
    city: list[str | None]
    latitude: list[float]
    longitude: list[float]
    listings: list[int]
    median_price: list[float]
    median_price_per_sqft: list[float | None]
    median_house_size: list[float | None] | None = None
    median_acre_lot: list[float | None] | None = None


class Criterion(BaseModel):
    """The result of one gate of the duel. name: the gate's code. words: the result in English."""

    name: str
    passed: bool
    words: str
    figures: dict[str, float | None] = Field(default_factory=dict)


class Promotion(BaseModel):
    """The decision about a challenger.

    figures: the limits, under "policy". details: the gates that failed, or what settled it;
    decisions of older releases have none.
    """

    decision_id: int | None = None
    model_version: str
    champion_version: str | None
    decision: str
    rule: str
    reason: str
    criteria: list[Criterion]
    details: list[CodedMessage] = Field(default_factory=list)
    figures: dict[str, Any] = Field(default_factory=dict)
    approver: str | None = None
    decided_at: datetime


class AliasMove(BaseModel):
    """One move of the alias `production` to another version."""

    model_version: str
    replaced: str | None
    action: str
    reason: str
    decision_id: int | None = None
    begun_at: datetime


class Version(BaseModel):
    """A registered version and its metrics on test data."""

    version: str
    stage: str
    candidate: str | None
    batches: list[int]
    trained_at: datetime
    train_rows: int | None
    test: dict[str, float | None]
    segments: list[dict[str, Any]]


class RetrainDecision(BaseModel):
    """Whether to train on a batch.

    details: the limits that were exceeded, or why nothing is trained. Decisions of older releases
    have none.
    """

    decision: str
    rule: str
    reason: str
    details: list[CodedMessage] = Field(default_factory=list)
    champion_version: str | None
    admitted: bool
    decided_at: datetime


class Drift(BaseModel):
    """How one feature of a batch differs from the champion's training data."""

    feature: str
    psi: float | None
    null_rate_change: float | None = None
    unseen_share: float | None = None


class Batch(BaseModel):
    """One load of a batch, with the decisions about it."""

    name: str
    partition: str
    state: str
    received: int
    inserted: int
    loaded_at: datetime
    decisions: list[RetrainDecision]
    drift: list[Drift]


class Change(BaseModel):
    """How a new champion differs from the one before."""

    before: str
    after: str
    importance: list[dict[str, Any]]
    segments: list[dict[str, Any]]
    homes: list[dict[str, Any]]


class History(BaseModel):
    """Versions of the model, batches, and the decisions about them, oldest first."""

    published_at: datetime
    champion: str | None
    batches: list[Batch] = Field(default_factory=list)
    promotions: list[Promotion] = Field(default_factory=list)
    releases: list[AliasMove] = Field(default_factory=list)
    versions: list[Version]
    changes: list[Change] = Field(default_factory=list)

    def decision_on(self, version: str) -> Promotion | None:
        """The last decision about `version`, or None."""
        decisions = [
            promotion for promotion in self.promotions if promotion.model_version == version
        ]
        return decisions[-1] if decisions else None
