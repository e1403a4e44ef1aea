"""The service's answers, and what it accepts: the HTTP contract, from which its OpenAPI is made."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, JsonValue

MAX_BATCH = 10_000


class ModelRef(BaseModel):
    """The model that answered."""

    name: str = Field(description="The registered model.")
    version: str
    stage: str = Field(description="Production, or Packaged when no registry has confirmed it.")
    candidate: str = Field(description="The kind of model: xgboost, random_forest, …")


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
    model: ModelRef


class Problem(BaseModel):
    """One thing that is wrong with what was sent."""

    loc: list[str | int] = Field(description="Where: field names and positions.")
    msg: str
    value: JsonValue = Field(description="What was sent there.")


class Refusal(BaseModel):
    """Why a request was not answered."""

    error: str
    detail: list[Problem]


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

    properties: list[dict[str, JsonValue]] = Field(min_length=1, max_length=MAX_BATCH)


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

    `base_price` plus the dollars of all contributions is the price. Contributions are exact in log
    price, where they add up; `price - base_price` is shared out in proportion to them.
    """

    valuation: Valuation
    base_price: float = Field(description="What the model says of a home it knows nothing about.")
    contributions: list[InputContribution] = Field(description="Largest first.")
    features: list[FeatureContribution] = Field(description="Largest first.")
    additivity_error: float = Field(
        description="|base + contributions - prediction|, in log price: rounding only."
    )


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
    feature_names: list[str]
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
