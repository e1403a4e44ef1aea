"""Everything `realtor_assets` reads from its environment."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from realtor_model.features import features_of
from realtor_model.listing import US_LISTINGS, ListingContract, read_market


class MarketSettings(BaseSettings):
    """The market whose listings the platform holds.

    Raises `pydantic.ValidationError` with the line of `InvalidMarketFile` for an invalid file.
    """

    model_config = SettingsConfigDict(extra="ignore")

    market: Path | None = Field(
        None,
        validation_alias="REALTOR_MARKET",
        description="Path of a market file, which declares the columns of listings; unset: US "
        "homes with the upstream's twelve columns.",
    )

    @field_validator("market", mode="before")
    @classmethod
    def _no_path_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("market")
    @classmethod
    def _readable(cls, path: Path | None) -> Path | None:
        _contract_in(path)  # raises for an invalid file
        return path


class PipelineSettings(MarketSettings):
    """Settings of the Dagster code location, read from environment variables.

    Raises `pydantic.ValidationError`, naming the variable, when one has no value or a wrong one.
    """

    api_url: str = Field(
        "http://127.0.0.1:8000",
        validation_alias="REALTOR_API_URL",
        description="Base URL of the upstream listings API.",
    )
    api_group: int = Field(
        1, validation_alias="REALTOR_API_GROUP", description="The `group_number` that we send."
    )
    api_day: str | None = Field(
        None,
        validation_alias="REALTOR_API_DAY",
        description="The `day` parameter that some versions of the upstream require.",
    )
    api_timeout_seconds: float = Field(
        300.0,
        validation_alias="REALTOR_API_TIMEOUT_SECONDS",
        description="A call to the upstream fails after this long without data.",
        gt=0,
    )
    api_attempts: int = Field(
        4,
        validation_alias="REALTOR_API_ATTEMPTS",
        description="The run fails after this many failed calls in a row.",
        ge=1,
    )
    end_of_data_pause_hours: float = Field(
        24.0,
        validation_alias="REALTOR_END_OF_DATA_PAUSE_HOURS",
        description="After the end of the upstream's data, the sensor ask_upstream waits this long "
        "before it asks again.",
        ge=0,
    )
    max_payload_bytes: int = Field(
        4 * 2**30,
        validation_alias="REALTOR_MAX_PAYLOAD_BYTES",
        description="The ingest rejects a batch larger than this.",
        gt=0,
    )
    max_broken_share: float = Field(
        0.2,
        validation_alias="REALTOR_MAX_BROKEN_SHARE",
        description="The load refuses a whole batch if a larger share of its rows breaks the "
        "contract.",
        ge=0,
        le=1,
    )
    raw_database_url: str = Field(
        validation_alias="REALTOR_RAW_DATABASE_URL",
        description="PostgreSQL URL of the RAW database.",
    )
    raw_owner_database_url: str | None = Field(
        None,
        validation_alias="REALTOR_RAW_OWNER_DATABASE_URL",
        description="URL of RAW for the role that owns its tables, used only for migrations; "
        "unset: REALTOR_RAW_DATABASE_URL.",
    )
    clean_database_url: str = Field(
        validation_alias="REALTOR_CLEAN_DATABASE_URL",
        description="PostgreSQL URL of the CLEAN database.",
    )
    storage_url: str = Field(
        validation_alias="REALTOR_STORAGE_URL",
        description="fsspec URL of the object store for landed payloads, snapshots and valuations.",
    )
    features_left_out: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias="REALTOR_FEATURES_LEFT_OUT",
        description="Feature groups to leave out of all models, separated by commas. Consider "
        "leaving out home_value and census (docs/MODEL.md).",
    )
    dask_scheduler: str | None = Field(
        None,
        validation_alias="REALTOR_DASK_SCHEDULER",
        description="Address of a Dask scheduler (tls://host:8786, tcp://…) whose workers train "
        "xgboost and value batches; unset: both run on this machine.",
    )
    mlflow_tracking_uri: str = Field(
        "http://127.0.0.1:5000",
        validation_alias="MLFLOW_TRACKING_URI",
        description="URL of the MLflow server.",
    )
    service_url: str = Field(
        "http://127.0.0.1:8080",
        validation_alias="REALTOR_SERVICE_URL",
        description="URL of the valuation service, which the pipeline tells to reload after a "
        "promotion.",
    )
    service_api_key: SecretStr | None = Field(
        None,
        validation_alias="REALTOR_SERVICE_API_KEY",
        description="API key for the service, needed if the service runs on another machine; "
        "unset: no key is sent.",
    )
    ingest_every_hours: float = Field(
        24.0,
        validation_alias="REALTOR_INGEST_EVERY_HOURS",
        description="Interval at which the sensor ask_upstream requests a batch. It waits longer "
        "if the previous batch is not finished.",
        ge=0,
    )
    approval_required: bool = Field(
        False,
        validation_alias="REALTOR_APPROVAL_REQUIRED",
        description="Whether a challenger that won its duel waits for a person to approve it "
        "(`realtor approve`).",
    )
    alert_webhook_url: str | None = Field(
        None,
        validation_alias="REALTOR_ALERT_WEBHOOK_URL",
        description="URL to which alerts are posted as JSON; unset: alerts are only logged.",
    )
    dagster_url: str | None = Field(
        None,
        validation_alias="REALTOR_DAGSTER_URL",
        description="URL of the Dagster webserver, for links to runs in MLflow and in alerts.",
    )
    metrics_host: str = Field(
        "127.0.0.1",
        validation_alias="REALTOR_METRICS_HOST",
        description="Address on which `python -m realtor_assets.exporter` serves /metrics.",
    )
    metrics_port: int = Field(
        9464,
        validation_alias="REALTOR_METRICS_PORT",
        description="Port on which `python -m realtor_assets.exporter` serves /metrics.",
        ge=0,
        le=65535,
    )
    commit: str | None = Field(
        None,
        validation_alias="REALTOR_COMMIT",
        description="Commit of the code, for images, which contain no git repository.",
    )

    @field_validator(
        "api_day",
        "service_api_key",
        "alert_webhook_url",
        "dagster_url",
        "commit",
        "dask_scheduler",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("features_left_out", mode="before")
    @classmethod
    def _split(cls, names: str | tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if isinstance(names, str):
            names = tuple(name.strip() for name in names.split(",") if name.strip())
        if "market" in info.data:  # else it is invalid, and that is the error
            contract = _contract_in(info.data["market"])
            features_of(contract).without(names)  # raises for a group that does not exist
        return names

    @property
    def service_headers(self) -> dict[str, str]:
        """What a request to the service carries: the key, if there is one."""
        if self.service_api_key is None:
            return {}
        return {"Authorization": f"Bearer {self.service_api_key.get_secret_value()}"}


@lru_cache(maxsize=1)
def settings() -> PipelineSettings:
    """The settings of this process, read once."""
    return PipelineSettings()


@lru_cache(maxsize=1)
def listing_contract() -> ListingContract:
    """The columns of the market of REALTOR_MARKET, read once."""
    return _contract_in(MarketSettings().market)


def market_version() -> str:
    """The version of the market in data versions and keys of files: empty for the built-in one."""
    contract = listing_contract()
    return "" if contract.version == US_LISTINGS.version else contract.version


def _contract_in(market: Path | None) -> ListingContract:
    return US_LISTINGS if market is None else read_market(market)
