"""`python -m realtor_assets.schema`: migrate RAW and CLEAN, as the roles that own them."""

from realtor_assets.pipeline_settings import listing_contract, settings
from realtor_assets.schema import migrate
from realtor_assets.schema.market_columns import MarketContradictsTables


def main() -> None:
    """Migrate both databases of the settings, and say where they are."""
    config, contract = settings(), listing_contract()
    raw = config.raw_owner_database_url or config.raw_database_url
    for database, url in (("raw", raw), ("clean", config.clean_database_url)):
        try:
            revision = migrate(url, database, contract)
        except MarketContradictsTables as problem:
            raise SystemExit(str(problem)) from problem
        print(f"{database} is at revision {revision}")
    print(f"raw has the columns of the market {contract.name}")


if __name__ == "__main__":
    main()
