"""What `realtor` reads from the environment, and which programs it is to run itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from realtor_local.errors import RealtorError
from realtor_model.installation import default_home

if TYPE_CHECKING:
    from realtor_model.listing import ListingContract

PROGRAMS = (
    "postgres",
    "mlflow",
    "upstream",
    "dagster-webserver",
    "dagster-daemon",
    "service",
    "app",
)

Port = Annotated[int, Field(ge=0, le=65535)]


class SettingsError(RealtorError):
    """A variable holds a value that cannot be used; the text names the variable."""


class PlatformSettings(BaseSettings):
    """The platform on one machine. A port of 0 means: take a free one and remember it."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    home: Path = Field(
        default_factory=default_home,
        validation_alias="REALTOR_HOME",
        description="Folder for everything that the platform writes on this machine.",
    )
    chosen_programs: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        None,
        validation_alias="REALTOR_PROGRAMS",
        description="Programs to run, separated by commas; unset: all programs, except those for "
        "which a URL of your own is set.",
    )
    postgres_port: Port = Field(
        0, validation_alias="REALTOR_POSTGRES_PORT", description="Port of the embedded PostgreSQL."
    )
    mlflow_port: Port = Field(
        5000, validation_alias="REALTOR_MLFLOW_PORT", description="Port of the MLflow server."
    )
    upstream_port: Port = Field(
        8000, validation_alias="REALTOR_UPSTREAM_PORT", description="Port of the stand-in upstream."
    )
    dagster_port: Port = Field(
        3000, validation_alias="REALTOR_DAGSTER_PORT", description="Port of the Dagster webserver."
    )
    service_port: Port = Field(
        8080, validation_alias="REALTOR_SERVICE_PORT", description="Port of the valuation service."
    )
    app_port: Port = Field(
        8501, validation_alias="REALTOR_APP_PORT", description="Port of the app."
    )
    raw_database_url: str | None = Field(
        None,
        validation_alias="REALTOR_RAW_DATABASE_URL",
        description="PostgreSQL URL of RAW. If all four database URLs are set, the platform uses "
        "your PostgreSQL and runs none.",
    )
    raw_owner_database_url: str | None = Field(
        None,
        validation_alias="REALTOR_RAW_OWNER_DATABASE_URL",
        description="External PostgreSQL: URL of RAW for the role that owns and migrates its "
        "tables; unset: REALTOR_RAW_DATABASE_URL.",
    )
    inference_log_url: str | None = Field(
        None,
        validation_alias="REALTOR_INFERENCE_LOG_URL",
        description="External PostgreSQL: URL of RAW for the role that the service uses to write "
        "inference_log; unset: REALTOR_RAW_DATABASE_URL.",
    )
    clean_database_url: str | None = Field(
        None,
        validation_alias="REALTOR_CLEAN_DATABASE_URL",
        description="PostgreSQL URL of CLEAN.",
    )
    dagster_database_url: str | None = Field(
        None,
        validation_alias="DAGSTER_POSTGRES_URL",
        description="PostgreSQL URL of Dagster's storage.",
    )
    mlflow_database_url: str | None = Field(
        None,
        validation_alias="MLFLOW_BACKEND_STORE_URI",
        description="PostgreSQL URL of MLflow's backend store.",
    )
    pg_bin: Path | None = Field(
        None,
        validation_alias="REALTOR_PG_BIN",
        description="Folder with the PostgreSQL programs to use instead of those in the wheel.",
    )
    mlflow_tracking_uri: str | None = Field(
        None,
        validation_alias="MLFLOW_TRACKING_URI",
        description="URL of your own MLflow server; unset: the platform runs one.",
    )
    api_url: str | None = Field(
        None,
        validation_alias="REALTOR_API_URL",
        description="URL of a real upstream API; unset: the platform runs a stand-in.",
    )
    csv: Path | None = Field(
        None,
        validation_alias="REALTOR_CSV",
        description="A file of listings that the stand-in upstream serves whole: of US homes, "
        "or with the columns of REALTOR_MARKET; unset: a synthetic market.",
    )
    market: Path | None = Field(
        None,
        validation_alias="REALTOR_MARKET",
        description="Market file (TOML) that declares the columns of your listings; unset: the "
        "twelve columns of the built-in market of US homes.",
    )
    market_rows: int = Field(
        400_000,
        validation_alias="REALTOR_MARKET_ROWS",
        ge=1,
        description="Number of listings in the synthetic market that the stand-in serves.",
    )
    market_seed: int = Field(
        0, validation_alias="REALTOR_MARKET_SEED", description="Seed of the synthetic market."
    )
    storage_url: str | None = Field(
        None,
        validation_alias="REALTOR_STORAGE_URL",
        description="fsspec URL of the store for payloads and snapshots; unset: a folder in "
        "REALTOR_HOME.",
    )
    artifacts_url: str | None = Field(
        None,
        validation_alias="REALTOR_ARTIFACTS_URL",
        description="fsspec URL where your own MLflow server stores its artifacts, for backups; "
        "unset: a folder in REALTOR_HOME.",
    )
    champion_cache: Path | None = Field(
        None,
        validation_alias="REALTOR_CHAMPION_CACHE",
        description="Folder in which the service keeps its model; unset: in REALTOR_HOME.",
    )
    bentoml_home: Path | None = Field(
        None,
        validation_alias="BENTOML_HOME",
        description="BentoML's store; unset: a folder in REALTOR_HOME.",
    )
    start_timeout_seconds: float = Field(
        300.0,
        validation_alias="REALTOR_START_TIMEOUT_SECONDS",
        gt=0,
        description="Time limit for each program to become healthy.",
    )
    min_free_disk_gb: float = Field(
        5.0,
        validation_alias="REALTOR_MIN_FREE_DISK_GB",
        ge=0,
        description="`realtor doctor` fails if less disk space than this is free.",
    )

    @field_validator("home", "csv", "market", "pg_bin", "champion_cache", "bentoml_home")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().resolve()

    @field_validator("chosen_programs", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @field_validator("chosen_programs")
    @classmethod
    def _known(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if unknown := set(names or ()) - set(PROGRAMS):
            raise ValueError(f"unknown program {sorted(unknown)}; known are {', '.join(PROGRAMS)}")
        return names

    @model_validator(mode="after")
    def _all_databases_or_none(self) -> PlatformSettings:
        missing = [variable for variable, url in self.database_urls.items() if not url]
        if 0 < len(missing) < len(self.database_urls):
            raise ValueError(
                f"{', '.join(missing)} not set: an external PostgreSQL needs all four database URLs"
            )
        return self

    def contract(self) -> ListingContract:
        """The listing contract of the market file, or of the built-in market.

        Raises:
            SettingsError: the market file is broken; the text says where and how to mend it.
        """
        # Imported here: most commands need no market, and pandas takes its time.
        from realtor_model.listing import US_LISTINGS, InvalidMarketFile, read_market

        try:
            return US_LISTINGS if self.market is None else read_market(self.market)
        except InvalidMarketFile as problem:
            raise SettingsError(str(problem)) from problem

    @property
    def database_urls(self) -> dict[str, str | None]:
        """Variable name → URL of the four databases, as the user set them."""
        return {
            "REALTOR_RAW_DATABASE_URL": self.raw_database_url,
            "REALTOR_CLEAN_DATABASE_URL": self.clean_database_url,
            "DAGSTER_POSTGRES_URL": self.dagster_database_url,
            "MLFLOW_BACKEND_STORE_URI": self.mlflow_database_url,
        }

    def port(self, program: str) -> int:
        """The port that was asked for; 0 when any free one will do."""
        return {
            "postgres": self.postgres_port,
            "mlflow": self.mlflow_port,
            "upstream": self.upstream_port,
            "dagster-webserver": self.dagster_port,
            "service": self.service_port,
            "app": self.app_port,
        }[program]

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that this machine runs, in starting order.

        REALTOR_PROGRAMS decides; it also stands in platform.env, so that a shell which has sourced
        that file does not take the platform's own URLs for external servers.
        """
        if self.chosen_programs is not None:
            return tuple(name for name in PROGRAMS if name in self.chosen_programs)
        external = {
            "postgres": all(self.database_urls.values()),
            "mlflow": self.mlflow_tracking_uri is not None,
            "upstream": self.api_url is not None,
        }
        return tuple(name for name in PROGRAMS if not external.get(name, False))


def load_settings(**overrides: Any) -> PlatformSettings:
    """The settings in the environment; `overrides` replace single fields.

    Raises:
        SettingsError: a variable has a value that cannot be used; the text names each of them.
    """
    try:
        # By alias, as the environment is read: by field name too, `home` would be $HOME.
        aliases = {
            name: str(each.validation_alias) for name, each in PlatformSettings.model_fields.items()
        }
        return PlatformSettings(**{aliases[name]: value for name, value in overrides.items()})
    except ValidationError as error:
        problems = "; ".join(
            f"{problem['loc'][0]}={problem['input']!r}: {problem['msg']}"
            if problem["loc"]
            else problem["msg"]
            for problem in error.errors()
        )
        raise SettingsError(problems) from error
