"""The tables as SQLAlchemy declares them: the fixed ones, and one per collection, made from a `core.schema.Schema`.

Alembic compares this with the database to find what a migration must add, and people can build their own reports on it. The hot path
does not load it.

The fixed tables name tenants, texts and records by numbers (see `numbering`); their layout is SQLite's own. What is stored per tenant
and is not counted in millions keeps `tenant_id` as text.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from holdfast.core.schema import Schema
from holdfast.storage.layout import Column, Table, tables_of

__all__ = ["FIXED", "collection_table", "metadata_of"]

FIXED: Final = "hf_"
"""What the names of all fixed tables begin with."""

_TYPES: Final = {"TEXT": sa.Text, "INTEGER": sa.Integer, "REAL": sa.REAL, "BLOB": sa.LargeBinary}


def metadata_of(schema: Schema) -> sa.MetaData:
    """All tables of a store of this schema."""
    metadata = sa.MetaData()
    _fixed_tables(metadata)
    for table in tables_of(schema).values():
        collection_table(table, metadata)
    return metadata


def collection_table(table: Table, metadata: sa.MetaData) -> sa.Table:
    """One collection's table."""
    made = sa.Table(
        table.name, metadata,
        *(column_of(column) for column in table.columns),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        *(sa.ForeignKeyConstraint(["tenant_id", reference.column], [f"{reference.target}.tenant_id", f"{reference.target}.id"],
                                  name=reference.name, deferrable=True, initially="DEFERRED") for reference in table.references),
    )
    for index in table.indexes:
        sa.Index(index.name, *(made.c[name] for name in index.columns), unique=index.unique)
    return made


def column_of(column: Column) -> sa.Column[Any]:
    """One column, with its default as SQL constant."""
    default = column.default
    # SQLAlchemy quotes a text itself; whatever else there is needs no quotes.
    constant: Any = default if default is None or isinstance(default, str) else sa.literal_column(f"({default!r})")
    return sa.Column(column.name, _TYPES[column.type](), nullable=column.nullable, server_default=constant)


def _text(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False, **options)


def _integer(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), **{"nullable": False, **options})


def _maybe_integer(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer())


def _bytes(name: str, *, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def _number() -> sa.Column[Any]:
    return sa.Column("no", sa.Integer(), primary_key=True)


def _fixed_tables(metadata: sa.MetaData) -> None:
    _name_tables(metadata)
    _log_tables(metadata)
    _waiting_tables(metadata)
    _people_tables(metadata)


def _name_tables(metadata: sa.MetaData) -> None:
    sa.Table("hf_meta", metadata, _text("name", primary_key=True), _text("value"))
    sa.Table("hf_heads", metadata, _number(), _text("tenant_id"), _integer("seq"), _bytes("digest", nullable=False),
             sa.Index("uq_hf_heads_tenant", "tenant_id", unique=True))
    sa.Table("hf_labels", metadata, _number(), _integer("tenant_no"), _text("value"),
             sa.Index("uq_hf_labels_value", "tenant_no", "value", unique=True))
    sa.Table("hf_records", metadata, _number(), _integer("tenant_no"), _integer("collection_no"), _bytes("id", nullable=False),
             sa.Index("uq_hf_records_id", "tenant_no", "collection_no", "id", unique=True))
    sa.Table("hf_requests", metadata, _number(), _integer("tenant_no"), _text("address"), _text("agent"),
             sa.Index("uq_hf_requests_text", "tenant_no", "address", "agent", unique=True))


def _log_tables(metadata: sa.MetaData) -> None:
    sa.Table(
        "hf_log", metadata, _number(), _integer("tenant_no"), _integer("seq"), _maybe_integer("record_no"), _integer("device_no"),
        _integer("actor_no"), _maybe_integer("request_no"), _integer("kind"), _integer("outcome"), _integer("contract"),
        _integer("committed_at"), _integer("stamp_back"), _maybe_integer("edited_back"), _maybe_integer("base_back"),
        _bytes("after_back"), _integer("mutation_key"), _bytes("mutation_rest", nullable=False), _bytes("digest"), _bytes("salt"),
        _bytes("sent_hash"), _bytes("body"), _bytes("rare"),
        sa.Index("uq_hf_log_seq", "tenant_no", "seq", unique=True),
        sa.Index("ix_hf_log_record", "record_no"),
        sa.Index("ix_hf_log_mutation", "device_no", "mutation_key"),
    )
    sa.Table("hf_erased", metadata, _number(), _bytes("payload_digest", nullable=False))


def _waiting_tables(metadata: sa.MetaData) -> None:
    sa.Table("hf_contexts", metadata, _integer("record_no", primary_key=True), _integer("device_no", primary_key=True),
             _bytes("body", nullable=False), sqlite_with_rowid=False)
    sa.Table(
        "hf_items", metadata, _integer("tenant_no", primary_key=True), _integer("opened", primary_key=True), _integer("record_no"),
        _integer("device_no"), _integer("actor_no"), _maybe_integer("assigned_no"), _integer("bytes"), _bytes("body", nullable=False),
        sa.Index("uq_hf_items_device_record", "record_no", "device_no", unique=True),
        sa.Index("ix_hf_items_actor", "actor_no", "opened"),
        sa.Index("ix_hf_items_assigned", "assigned_no", "opened"),
    )
    sa.Table("hf_item_refs", metadata, _integer("record_no", primary_key=True), _integer("tenant_no", primary_key=True),
             _integer("opened", primary_key=True), sa.Index("ix_hf_item_refs_item", "tenant_no", "opened"), sqlite_with_rowid=False)


def _people_tables(metadata: sa.MetaData) -> None:
    sa.Table("hf_tenants", metadata, _text("tenant_id", primary_key=True), _text("name"), _integer("created_at"), _integer("suspended"),
             _text("wrapped_key"))
    sa.Table("hf_accounts", metadata, _text("id", primary_key=True), _text("email"), sa.Column("password_hash", sa.Text()),
             _integer("created_at"), _integer("operator"), _integer("disabled"), sa.Index("uq_hf_accounts_email", "email", unique=True))
    sa.Table("hf_credentials", metadata, _text("hash", primary_key=True), _text("kind"), _text("account_id"), _text("tenant_id"),
             _integer("created_at"), _maybe_integer("expires_at"), _text("name"), _maybe_integer("last_used_at"),
             _maybe_integer("revoked_at"), _text("csrf"), sa.Column("roles", sa.Text()),
             sa.Index("ix_hf_credentials_account", "tenant_id", "account_id"))
    sa.Table("hf_devices", metadata, _text("tenant_id", primary_key=True), _text("device_id", primary_key=True), _text("actor_id"),
             _integer("first_seen"), _integer("last_seen"), _integer("cursor"), _text("report"))
    sa.Table("hf_settings", metadata, _text("tenant_id", primary_key=True), _text("name", primary_key=True), _text("value"))
    sa.Table("hf_attempts", metadata, _text("key", primary_key=True), _integer("started"), _integer("ends"), _integer("count"),
             sa.Index("ix_hf_attempts_ends", "ends"))
