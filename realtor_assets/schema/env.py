"""What alembic runs to migrate one database; `realtor_assets.schema` hands it the connection."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
