"""What Dagster shows of assets: owners, schemas, pictures, and the latest materialization."""

OWNERS = ["team:data-platform"]
