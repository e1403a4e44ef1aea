"""`python -m realtor_assets.schema`: migrate RAW and CLEAN, as the roles that own them."""

from realtor_assets.pipeline_settings import settings
from realtor_assets.schema import migrate


def main() -> None:
    """Migrate both databases of the settings, and say where they are."""
    config = settings()
    raw = config.raw_owner_database_url or config.raw_database_url
    for database, url in (("raw", raw), ("clean", config.clean_database_url)):
        print(f"{database} is at revision {migrate(url, database)}")


if __name__ == "__main__":
    main()
