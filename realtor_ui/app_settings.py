"""Everything `realtor_ui` reads from its environment."""

from functools import lru_cache

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class AppSettings(BaseSettings):
    """Settings of the app, read from environment variables.

    Raises `pydantic.ValidationError`, naming the variable, when one has a wrong value.
    """

    model_config = SettingsConfigDict(extra="ignore")

    service_url: str = Field(
        "http://127.0.0.1:8080",
        validation_alias="REALTOR_SERVICE_URL",
        description="URL of the valuation service.",
    )
    api_key: SecretStr | None = Field(
        None,
        validation_alias="REALTOR_APP_API_KEY",
        description="API key that the app sends to the service; unset: no key is sent.",
    )
    timeout_seconds: float = Field(
        20.0,
        validation_alias="REALTOR_APP_TIMEOUT_SECONDS",
        description="How long the app waits for a response of the service.",
        gt=0,
    )
    max_upload_rows: int = Field(
        1_000_000,
        validation_alias="REALTOR_APP_MAX_UPLOAD_ROWS",
        description="The app does not value files with more rows than this.",
        ge=1,
    )
    dagster_url: str | None = Field(
        None,
        validation_alias="REALTOR_DAGSTER_URL",
        description="URL of Dagster for a link in the app, as the users' browsers reach it; "
        "unset: no link.",
    )
    mlflow_url: str | None = Field(
        None,
        validation_alias="MLFLOW_TRACKING_URI",
        description="URL of MLflow for a link in the app, as the users' browsers reach it; unset: "
        "no link.",
    )
    grafana_url: str | None = Field(
        None,
        validation_alias="REALTOR_GRAFANA_URL",
        description="URL of Grafana for a link in the app, as the users' browsers reach it; "
        "unset: no link.",
    )

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        """The key without the line break of a mounted secret; it must fit into an HTTP header."""
        key = value.get_secret_value().strip() if value else ""
        if not (key.isascii() and key.isprintable()):
            raise ValueError("an API key is one line of ASCII")
        return SecretStr(key) if key else None

    @field_validator("dagster_url", "mlflow_url", "grafana_url", mode="before")
    @classmethod
    def _only_links(cls, value: object) -> object:
        """None unless a browser can open it: MLFLOW_TRACKING_URI may be a folder."""
        return value if str(value).startswith(("http://", "https://")) else None

    @property
    def links(self) -> dict[str, str]:
        """Name → URL of the programs with a link."""
        urls = {"Grafana": self.grafana_url, "Dagster": self.dagster_url, "MLflow": self.mlflow_url}
        return {name: url for name, url in urls.items() if url}


@lru_cache(maxsize=1)
def app_settings() -> AppSettings:
    """The settings of this process, read once."""
    return AppSettings()
