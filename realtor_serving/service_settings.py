"""Everything `realtor_serving` reads from its environment."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parents[1]


class ServiceSettings(BaseSettings):
    """ServiceSettings of the valuation service, read from environment variables.

    Raises `pydantic.ValidationError`, naming the variable, when one has a wrong value.
    """

    model_config = SettingsConfigDict(extra="ignore")

    home: Path = Field(
        ROOT / ".realtor",
        validation_alias="REALTOR_HOME",
        description="Folder that holds what the platform writes on this machine.",
    )
    champion_cache: Path | None = Field(
        None,
        validation_alias="REALTOR_CHAMPION_CACHE",
        description="Folder in which the service keeps its model; unset: in REALTOR_HOME.",
    )
    champion_poll_seconds: float = Field(
        5.0,
        validation_alias="REALTOR_CHAMPION_POLL_SECONDS",
        description="How often the service asks MLflow which model is in production.",
        gt=0,
    )
    champion_bundle: Path | None = Field(
        None,
        validation_alias="REALTOR_CHAMPION_BUNDLE",
        description="A bundle to serve while MLflow has named no model; unset: the one packaged "
        "in a bento, if there is one.",
    )
    mlflow_tracking_uri: str = Field(
        "http://127.0.0.1:5000",
        validation_alias="MLFLOW_TRACKING_URI",
        description="The MLflow server whose production model is served; empty: none is asked.",
    )
    inference_log_url: str | None = Field(
        None,
        validation_alias="REALTOR_INFERENCE_LOG_URL",
        description="PostgreSQL URL of the RAW database for inference_log; unset: not logged.",
    )
    history_url: str | None = Field(
        None,
        validation_alias="REALTOR_HISTORY_URL",
        description="URL of the history that the pipeline publishes (fsspec: file, http, s3), for "
        "GET /history; unset: there is none.",
    )
    workers: int = Field(
        2,
        validation_alias="REALTOR_SERVICE_WORKERS",
        description="Processes of the service; each holds the model in its memory.",
        ge=1,
    )
    timeout_seconds: float = Field(
        60.0,
        validation_alias="REALTOR_SERVICE_TIMEOUT_SECONDS",
        description="A request that takes longer is answered with 504.",
        gt=0,
    )
    max_concurrency: int = Field(
        256,
        validation_alias="REALTOR_SERVICE_MAX_CONCURRENCY",
        description="Requests in progress, over all workers; more are answered with 429.",
        ge=1,
    )
    explain_concurrency: int = Field(
        1,
        validation_alias="REALTOR_SERVICE_EXPLAIN_CONCURRENCY",
        description="Explanations computed at the same time in one worker; the others wait.",
        ge=1,
    )
    max_body_bytes: int = Field(
        16 * 1024 * 1024,
        validation_alias="REALTOR_SERVICE_MAX_BODY_BYTES",
        description="A larger /predict-batch is answered with 413; one home may take 8 kB.",
        ge=1024,
    )
    allowed_hosts: str = Field(
        "127.0.0.1,localhost,[::1]",
        validation_alias="REALTOR_SERVICE_ALLOWED_HOSTS",
        description="Host names the service answers to, separated by commas, or * for any; "
        "keeps web pages from reaching it through a name of their own.",
    )

    api_keys: str = Field(
        "",
        validation_alias="REALTOR_SERVICE_API_KEYS",
        description="sha256 of each API key, separated by commas, or @FILE with one a line; "
        "`python -m realtor_serving.http.api_keys` makes one.",
    )
    keys_for: Literal["writes", "all"] = Field(
        "writes",
        validation_alias="REALTOR_SERVICE_KEYS_FOR",
        description="What a request from outside this machine needs a key for: what changes the "
        "service, or everything but /livez and /readyz.",
    )
    trust_loopback: bool = Field(
        True,
        validation_alias="REALTOR_SERVICE_TRUST_LOOPBACK",
        description="Whether requests over loopback need no key; false where a proxy on the same "
        "machine passes on requests without saying so (X-Forwarded-For, Forwarded, Via).",
    )
    cors_origins: str = Field(
        "",
        validation_alias="REALTOR_SERVICE_CORS_ORIGINS",
        description="Origins whose pages may ask, separated by commas; unset: none.",
    )
    log_requests: Literal["problems", "all"] = Field(
        "problems",
        validation_alias="REALTOR_SERVICE_LOG_REQUESTS",
        description="Which requests get a line in the log: all, or those that were refused, failed "
        "or took more than a second.",
    )

    @field_validator(
        "champion_cache", "champion_bundle", "inference_log_url", "history_url", mode="before"
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def cache(self) -> Path:
        """The folder that holds the models this service has loaded."""
        return self.champion_cache or self.home / "champion"


@lru_cache(maxsize=1)
def settings() -> ServiceSettings:
    """The settings of this process, read once."""
    return ServiceSettings()
