"""Everything `realtor_ui` reads from its environment."""

from functools import lru_cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of the app, read from environment variables.

    Raises `pydantic.ValidationError`, naming the variable, when one has a wrong value.
    """

    model_config = SettingsConfigDict(extra="ignore")

    service_url: str = Field(
        "http://127.0.0.1:8080",
        validation_alias="REALTOR_SERVICE_URL",
        description="The valuation service that the app asks.",
    )
    timeout_seconds: float = Field(
        20.0,
        validation_alias="REALTOR_APP_TIMEOUT_SECONDS",
        description="How long the app waits for an answer of the service.",
        gt=0,
    )


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
