"""Lets Alembic work on the connection that the caller has opened."""

from alembic import context

from edgerig_controller.store.tables import Base

connection = context.config.attributes["connection"]
# SQLite cannot alter tables in place; batch mode copies them.
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
