"""Alembic's numbered revisions of the fixed tables on PostgreSQL."""
