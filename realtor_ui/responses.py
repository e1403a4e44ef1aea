"""The service's answers, as far as the app shows them."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

By = Literal["state", "city", "zip"]
Value = str | float | int | None


class ModelRef(BaseModel):
    """The model that answered."""

    name: str
    version: str
    stage: str
    candidate: str


class Valuation(BaseModel):
    """What a home would sell for, dollars."""

    price: float
    low: float
    high: float
    coverage: float
    confidence: Literal["high", "medium", "low"]
    as_of: str
    warnings: list[str]
    model: ModelRef


class Contribution(BaseModel):
    """What one input adds to the price, dollars."""

    input: str
    value: Value
    dollars: float


class FeatureContribution(BaseModel):
    """What one feature of the model adds to the log price."""

    feature: str
    value: float
    log: float


class ExplainedValuation(BaseModel):
    """A valuation with its reasons: base_price plus all contributions is the price."""

    valuation: Valuation
    base_price: float
    contributions: list[Contribution]
    features: list[FeatureContribution]


class Adjustment(BaseModel):
    """What one difference between the home and a comparable is worth, dollars."""

    input: str
    home: Value
    comparable: Value
    dollars: float


class Comparable(BaseModel):
    """A sold home like the one valued; price plus all adjustments is adjusted_price."""

    id: str
    similarity: float
    miles: float
    sold_on: date
    price: float
    adjusted_price: float
    adjustments: list[Adjustment]
    net_adjustment: float
    gross_adjustment: float
    home: dict[str, Value]


class ComparableSales(BaseModel):
    """The sales most like a home, the most similar first."""

    comparables: list[Comparable]
    indicated_price: float | None
    radius_miles: float
    sales_within: int


class RowValue(BaseModel):
    """One row of a batch: its valuation, or none."""

    index: int
    valuation: Valuation | None


class BatchValuation(BaseModel):
    """The rows of a batch, in the order they were sent."""

    results: list[RowValue]


class AllowedInput(BaseModel):
    """What an input may be: a range with a unit, or one of some choices, or free."""

    low: float | None = None
    high: float | None = None
    unit: str | None = None
    choices: list[str] | None = None


class ModelInfo(BaseModel):
    """The model in production."""

    version: str
    stage: str
    candidate: str
    trained_at: datetime
    as_of: str
    batches: list[int]
    train_rows: int
    coverage: float
    metrics: dict[str, dict[str, float]]
    importance: dict[str, float]
    inputs: dict[str, AllowedInput]
    loaded_at: datetime


class MarketRow(BaseModel):
    """Listings of one place: dollars, square feet, acres. Older models know no sizes."""

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
    as_of: str


class Place(BaseModel):
    """A place that the model knows."""

    state: str | None
    city: str | None = None
    zip_code: str | None = None
    listings: int


class Places(BaseModel):
    """Places that begin as entered, the place with most listings first."""

    states: list[Place]
    cities: list[Place]
    zip_codes: list[Place]


class Coordinates(BaseModel):
    """The zips that the model learned from, column by column; an older service tells no sizes."""

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
    """One question to a challenger, and the answer: in English, and as figures."""

    name: str
    passed: bool
    words: str
    figures: dict[str, float | None] = Field(default_factory=dict)


class Promotion(BaseModel):
    """What was decided of a challenger; figures has the limits, under "policy"."""

    decision_id: int | None = None
    model_version: str
    champion_version: str | None
    decision: str
    rule: str
    reason: str
    criteria: list[Criterion]
    figures: dict[str, Any] = Field(default_factory=dict)
    approver: str | None = None
    decided_at: datetime


class AliasMove(BaseModel):
    """One move of the alias production."""

    model_version: str
    replaced: str | None
    action: str
    reason: str
    decision_id: int | None = None
    begun_at: datetime


class Version(BaseModel):
    """A registered version and how it did on homes it never saw."""

    version: str
    stage: str
    candidate: str | None
    batches: list[int]
    trained_at: datetime
    train_rows: int | None
    test: dict[str, float | None]
    segments: list[dict[str, Any]]


class RetrainDecision(BaseModel):
    """What was decided of a batch before anybody trained on it.

    figures: of the batch, the limits under "policy", and those that were passed under "rules".
    """

    decision: str
    rule: str
    reason: str
    figures: dict[str, Any] = Field(default_factory=dict)
    champion_version: str | None
    admitted: bool
    decided_at: datetime


class Drift(BaseModel):
    """How one feature of a batch differs from what the champion was trained on."""

    feature: str
    psi: float | None
    null_rate_change: float | None = None
    unseen_share: float | None = None


class Batch(BaseModel):
    """One load of a batch."""

    name: str
    partition: str
    state: str
    received: int
    inserted: int
    loaded_at: datetime
    decisions: list[RetrainDecision]
    drift: list[Drift]


class Change(BaseModel):
    """What a new champion changed."""

    before: str
    after: str
    importance: list[dict[str, Any]]
    segments: list[dict[str, Any]]
    homes: list[dict[str, Any]]


class History(BaseModel):
    """Why models came and went, oldest first."""

    published_at: datetime
    champion: str | None
    batches: list[Batch] = Field(default_factory=list)
    promotions: list[Promotion] = Field(default_factory=list)
    releases: list[AliasMove] = Field(default_factory=list)
    versions: list[Version]
    changes: list[Change] = Field(default_factory=list)

    def decision_on(self, version: str) -> Promotion | None:
        """The last decision about `version`."""
        found = [each for each in self.promotions if each.model_version == version]
        return found[-1] if found else None
