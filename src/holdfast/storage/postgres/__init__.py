"""Storage on PostgreSQL 15 and later. `docs/internals/postgres.md` has the shape: tables, transactions, roles, policies.

`migration` is loaded only where a database is brought up: it brings SQLAlchemy and Alembic with it.
"""

from __future__ import annotations

from holdfast.storage.postgres.storage import PostgresStorage

__all__ = ["PostgresStorage"]
