"""Everything `realtor_assets` reads from its environment."""

from functools import lru_cache
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from realtor_model.features import features_without


class PipelineSettings(BaseSettings):
    """PipelineSettings of the Dagster code location, read from environment variables.

    Raises `pydantic.ValidationError`, naming the variable, when one has no value or a wrong one.
    """

    model_config = SettingsConfigDict(extra="ignore")

    api_url: str = Field(
        "http://127.0.0.1:8000",
        validation_alias="REALTOR_API_URL",
        description="Base URL of the upstream listings API.",
    )
    api_group: int = Field(
        1, validation_alias="REALTOR_API_GROUP", description="Our `group_number` at the upstream."
    )
    api_day: str | None = Field(
        None,
        validation_alias="REALTOR_API_DAY",
        description="The `day` parameter that some versions of the upstream ask for.",
    )
    api_timeout_seconds: float = Field(
        300.0,
        validation_alias="REALTOR_API_TIMEOUT_SECONDS",
        description="How long the upstream may be silent before a call is given up.",
        gt=0,
    )
    api_attempts: int = Field(
        4,
        validation_alias="REALTOR_API_ATTEMPTS",
        description="Calls in a row that may fail before the run fails.",
        ge=1,
    )
    end_of_data_pause_hours: float = Field(
        24.0,
        validation_alias="REALTOR_END_OF_DATA_PAUSE_HOURS",
        description="How long the sensor ask_upstream leaves the upstream alone after it had no "
        "more data.",
        ge=0,
    )
    max_payload_bytes: int = Field(
        4 * 2**30,
        validation_alias="REALTOR_MAX_PAYLOAD_BYTES",
        description="A batch beyond this size is not landed.",
        gt=0,
    )
    max_broken_share: float = Field(
        0.2,
        validation_alias="REALTOR_MAX_BROKEN_SHARE",
        description="A batch with a larger share of rows that break the contract is refused as a "
        "whole.",
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
        description="URL of RAW as the role that owns its tables, for migrations only; unset, "
        "REALTOR_RAW_DATABASE_URL.",
    )
    clean_database_url: str = Field(
        validation_alias="REALTOR_CLEAN_DATABASE_URL",
        description="PostgreSQL URL of the CLEAN database.",
    )
    storage_url: str = Field(
        validation_alias="REALTOR_STORAGE_URL",
        description="fsspec URL of the object store: landed payloads, snapshots, valuations.",
    )
    features_left_out: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias="REALTOR_FEATURES_LEFT_OUT",
        description="Groups of features that no model sees, separated by commas: home_value and "
        "census are the ones to think about (docs/MODEL.md).",
    )
    dask_scheduler: str | None = Field(
        None,
        validation_alias="REALTOR_DASK_SCHEDULER",
        description="Address of a Dask scheduler (tls://host:8786, tcp://…) on whose workers "
        "xgboost is trained and batches are valued; unset: on this machine.",
    )
    mlflow_tracking_uri: str = Field(
        "http://127.0.0.1:5000",
        validation_alias="MLFLOW_TRACKING_URI",
        description="The MLflow server.",
    )
    service_url: str = Field(
        "http://127.0.0.1:8080",
        validation_alias="REALTOR_SERVICE_URL",
        description="The valuation service, told to reload after a promotion.",
    )
    service_api_key: SecretStr | None = Field(
        None,
        validation_alias="REALTOR_SERVICE_API_KEY",
        description="A key of the service, which asks for one where it is on another machine; "
        "unset: none is sent.",
    )
    ingest_every_hours: float = Field(
        24.0,
        validation_alias="REALTOR_INGEST_EVERY_HOURS",
        description="How long after one batch the sensor ask_upstream asks for the next, when the "
        "one before is through the whole cycle.",
        ge=0,
    )
    approval_required: bool = Field(
        False,
        validation_alias="REALTOR_APPROVAL_REQUIRED",
        description="A challenger that wins its duel waits for a person (`realtor approve`).",
    )
    alert_webhook_url: str | None = Field(
        None,
        validation_alias="REALTOR_ALERT_WEBHOOK_URL",
        description="Alerts are posted there as JSON; unset, they are only logged.",
    )
    dagster_url: str | None = Field(
        None,
        validation_alias="REALTOR_DAGSTER_URL",
        description="The Dagster webserver, for links to runs in MLflow and in alerts.",
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
        description="The commit of the code, where there is no git to ask: in images.",
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
    def _split(cls, names: str | tuple[str, ...]) -> tuple[str, ...]:
        if isinstance(names, str):
            names = tuple(name.strip() for name in names.split(",") if name.strip())
        features_without(names)  # raises for a group that does not exist
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
