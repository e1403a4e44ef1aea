"""The platform's databases, and the roles that may connect to them."""

from __future__ import annotations

from collections.abc import Mapping

# Database → the role that owns it.
DATABASES: Mapping[str, str] = {
    "realtor_raw": "realtor_raw_owner",
    "realtor_clean": "realtor_clean",
    "dagster": "dagster",
    "mlflow": "mlflow",
}
# Role → its database, and the environment variable that holds its URL. What the roles that own
# nothing may do in RAW, its migrations grant.
ROLES: Mapping[str, tuple[str, str]] = {
    "realtor_raw_owner": ("realtor_raw", "REALTOR_RAW_OWNER_DATABASE_URL"),
    "realtor_raw": ("realtor_raw", "REALTOR_RAW_DATABASE_URL"),
    "realtor_service": ("realtor_raw", "REALTOR_INFERENCE_LOG_URL"),
    "realtor_clean": ("realtor_clean", "REALTOR_CLEAN_DATABASE_URL"),
    "dagster": ("dagster", "DAGSTER_POSTGRES_URL"),
    "mlflow": ("mlflow", "MLFLOW_BACKEND_STORE_URI"),
}
# What an external server must be given as.
EXTERNAL = (
    "REALTOR_RAW_DATABASE_URL",
    "REALTOR_CLEAN_DATABASE_URL",
    "DAGSTER_POSTGRES_URL",
    "MLFLOW_BACKEND_STORE_URI",
)
SUPERUSER = "postgres"


def create_databases(admin_url: str, passwords: Mapping[str, str]) -> None:
    """Makes roles and databases that are missing; each role may connect to its own only.

    admin_url: of the server's own database, as its superuser. passwords: of each of ROLES.
    """
    import psycopg
    from psycopg import sql

    with psycopg.connect(admin_url, autocommit=True) as connection:
        roles = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
        databases = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        connection.execute("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
        for role in ROLES:
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
                    sql.SQL("ALTER" if role in roles else "CREATE"),
                    sql.Identifier(role),
                    sql.Literal(passwords[role]),
                )
            )
        for name, owner in DATABASES.items():
            database = sql.Identifier(name)
            if name not in databases:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(database, sql.Identifier(owner))
                )
            connection.execute(
                sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(database)
            )
        for role, (name, _) in ROLES.items():
            connection.execute(
                sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                    sql.Identifier(name), sql.Identifier(role)
                )
            )
