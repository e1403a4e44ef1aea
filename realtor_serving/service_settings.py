"""Everything `realtor_serving` reads from its environment."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from realtor_model.installation import default_home


class ServiceSettings(BaseSettings):
    """Settings of the valuation service, read from environment variables.

    Raises:
        pydantic.ValidationError: a variable has a wrong value; the text names it.
    """

    model_config = SettingsConfigDict(extra="ignore")

    home: Path = Field(
        default_factory=default_home,
        validation_alias="REALTOR_HOME",
        description="Folder for everything that the platform writes on this machine.",
    )
    champion_cache: Path | None = Field(
        None,
        validation_alias="REALTOR_CHAMPION_CACHE",
        description="Folder in which the service keeps its model; unset: in REALTOR_HOME.",
    )
    champion_poll_seconds: float = Field(
        5.0,
        validation_alias="REALTOR_CHAMPION_POLL_SECONDS",
        description="Interval at which the service asks MLflow for the production version.",
        gt=0,
    )
    champion_bundle: Path | None = Field(
        None,
        validation_alias="REALTOR_CHAMPION_BUNDLE",
        description="Bundle to serve until MLflow names a production version; unset: the bundle "
        "inside the bento, if the service runs from a bento.",
    )
    mlflow_tracking_uri: str = Field(
        "http://127.0.0.1:5000",
        validation_alias="MLFLOW_TRACKING_URI",
        description="URL of the MLflow server whose production model is served; empty: the service "
        "does not use MLflow.",
    )
    inference_log_url: str | None = Field(
        None,
        validation_alias="REALTOR_INFERENCE_LOG_URL",
        description="PostgreSQL URL of the RAW database, for inference_log; unset: valuations are "
        "not logged.",
    )
    history_url: str | None = Field(
        None,
        validation_alias="REALTOR_HISTORY_URL",
        description="URL of the history that the pipeline publishes (fsspec: file, http, s3), for "
        "GET /history; unset: the service has no history.",
    )
    workers: int = Field(
        2,
        validation_alias="REALTOR_SERVICE_WORKERS",
        description="Number of worker processes. Each holds the model in memory.",
        ge=1,
    )
    timeout_seconds: float = Field(
        60.0,
        validation_alias="REALTOR_SERVICE_TIMEOUT_SECONDS",
        description="The service answers 504 if a request takes longer.",
        gt=0,
    )
    max_concurrency: int = Field(
        256,
        validation_alias="REALTOR_SERVICE_MAX_CONCURRENCY",
        description="Maximum number of requests in progress over all workers; the service answers "
        "further ones with 429.",
        ge=1,
    )
    explain_concurrency: int = Field(
        1,
        validation_alias="REALTOR_SERVICE_EXPLAIN_CONCURRENCY",
        description="Maximum number of explanations that a worker computes at the same time; "
        "further ones wait.",
        ge=1,
    )
    max_body_bytes: int = Field(
        16 * 1024 * 1024,
        validation_alias="REALTOR_SERVICE_MAX_BODY_BYTES",
        description="Maximum size of a /predict-batch request, else 413. For one home the limit is "
        "always 8 kB.",
        ge=1024,
    )
    allowed_hosts: str = Field(
        "127.0.0.1,localhost,[::1]",
        validation_alias="REALTOR_SERVICE_ALLOWED_HOSTS",
        description="Host names that the service answers to, separated by commas, or * for any. "
        "Protects against web pages that reach the service under a host name of their own (DNS "
        "rebinding).",
    )

    api_keys: str = Field(
        "",
        validation_alias="REALTOR_SERVICE_API_KEYS",
        description="sha256 of each API key, separated by commas, or @FILE with one per line. "
        "`python -m realtor_serving.http.api_keys` makes a key.",
    )
    keys_for: Literal["writes", "all"] = Field(
        "writes",
        validation_alias="REALTOR_SERVICE_KEYS_FOR",
        description="Requests from other machines that need a key. writes: those that change the "
        "service; all: all except /livez and /readyz.",
    )
    trust_loopback: bool = Field(
        True,
        validation_alias="REALTOR_SERVICE_TRUST_LOOPBACK",
        description="Whether requests over loopback need no key. Set it to false if a proxy on the "
        "same machine forwards requests without the header X-Forwarded-For, Forwarded or Via.",
    )
    cors_origins: str = Field(
        "",
        validation_alias="REALTOR_SERVICE_CORS_ORIGINS",
        description="Origins whose web pages may call the service, separated by commas; unset: "
        "none.",
    )
    log_requests: Literal["problems", "all"] = Field(
        "problems",
        validation_alias="REALTOR_SERVICE_LOG_REQUESTS",
        description="Requests to log. all: every request; problems: those that were refused, "
        "failed or took more than a second.",
    )

    @field_validator(
        "champion_cache", "champion_bundle", "inference_log_url", "history_url", mode="before"
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def cache(self) -> Path:
        """The folder of the champion cache."""
        return self.champion_cache or self.home / "champion"


@lru_cache(maxsize=1)
def settings() -> ServiceSettings:
    """The settings of this process, read once."""
    return ServiceSettings()
