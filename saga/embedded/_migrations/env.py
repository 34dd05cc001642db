"""What Alembic executes: it runs the migrations on the connection that `upgrade` hands over."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table="saga_journal_version")
context.run_migrations()
