"""What alembic runs first: the steps, on the connection and in the transaction it was given."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
# The caller opened the transaction, so that a step that fails leaves nothing behind.
context.configure(connection=connection, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
