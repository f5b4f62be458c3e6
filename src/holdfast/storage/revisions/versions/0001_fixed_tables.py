"""The fixed tables: names as numbers, the log, what waits, who and from where.

Revision ID: 0001
Revises:
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "CREATE TABLE hf_meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",

    "CREATE TABLE hf_heads (no INTEGER NOT NULL PRIMARY KEY, tenant_id TEXT NOT NULL, seq INTEGER NOT NULL, digest BLOB NOT NULL)",
    "CREATE UNIQUE INDEX uq_hf_heads_tenant ON hf_heads (tenant_id)",
    "CREATE TABLE hf_labels (no INTEGER NOT NULL PRIMARY KEY, tenant_no INTEGER NOT NULL, value TEXT NOT NULL)",
    "CREATE UNIQUE INDEX uq_hf_labels_value ON hf_labels (tenant_no, value)",
    "CREATE TABLE hf_records (no INTEGER NOT NULL PRIMARY KEY, tenant_no INTEGER NOT NULL, collection_no INTEGER NOT NULL, "
    "id BLOB NOT NULL)",
    "CREATE UNIQUE INDEX uq_hf_records_id ON hf_records (tenant_no, collection_no, id)",
    "CREATE TABLE hf_requests (no INTEGER NOT NULL PRIMARY KEY, tenant_no INTEGER NOT NULL, address TEXT NOT NULL, agent TEXT NOT NULL)",
    "CREATE UNIQUE INDEX uq_hf_requests_text ON hf_requests (tenant_no, address, agent)",

    "CREATE TABLE hf_log (no INTEGER NOT NULL PRIMARY KEY, tenant_no INTEGER NOT NULL, seq INTEGER NOT NULL, record_no INTEGER, "
    "device_no INTEGER NOT NULL, actor_no INTEGER NOT NULL, request_no INTEGER, kind INTEGER NOT NULL, outcome INTEGER NOT NULL, "
    "contract INTEGER NOT NULL, committed_at INTEGER NOT NULL, stamp_back INTEGER NOT NULL, edited_back INTEGER, base_back INTEGER, "
    "after_back BLOB, mutation_key INTEGER NOT NULL, mutation_rest BLOB NOT NULL, digest BLOB, salt BLOB, sent_hash BLOB, body BLOB, "
    "rare BLOB)",
    "CREATE UNIQUE INDEX uq_hf_log_seq ON hf_log (tenant_no, seq)",
    "CREATE INDEX ix_hf_log_record ON hf_log (record_no)",
    "CREATE INDEX ix_hf_log_mutation ON hf_log (device_no, mutation_key)",
    "CREATE TABLE hf_erased (no INTEGER NOT NULL PRIMARY KEY, payload_digest BLOB NOT NULL)",

    "CREATE TABLE hf_contexts (record_no INTEGER NOT NULL, device_no INTEGER NOT NULL, body BLOB NOT NULL, "
    "PRIMARY KEY (record_no, device_no)) WITHOUT ROWID",
    "CREATE TABLE hf_items (tenant_no INTEGER NOT NULL, opened INTEGER NOT NULL, record_no INTEGER NOT NULL, device_no INTEGER NOT NULL, "
    "actor_no INTEGER NOT NULL, assigned_no INTEGER, bytes INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (tenant_no, opened))",
    "CREATE UNIQUE INDEX uq_hf_items_device_record ON hf_items (record_no, device_no)",
    "CREATE INDEX ix_hf_items_actor ON hf_items (actor_no, opened)",
    "CREATE INDEX ix_hf_items_assigned ON hf_items (assigned_no, opened)",
    "CREATE TABLE hf_item_refs (record_no INTEGER NOT NULL, tenant_no INTEGER NOT NULL, opened INTEGER NOT NULL, "
    "PRIMARY KEY (record_no, tenant_no, opened)) WITHOUT ROWID",
    "CREATE INDEX ix_hf_item_refs_item ON hf_item_refs (tenant_no, opened)",

    "CREATE TABLE hf_tenants (tenant_id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, created_at INTEGER NOT NULL, "
    "suspended INTEGER NOT NULL, wrapped_key TEXT NOT NULL)",
    "CREATE TABLE hf_accounts (id TEXT NOT NULL PRIMARY KEY, email TEXT NOT NULL, password_hash TEXT, created_at INTEGER NOT NULL, "
    "operator INTEGER NOT NULL, disabled INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX uq_hf_accounts_email ON hf_accounts (email)",
    "CREATE TABLE hf_credentials (hash TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, account_id TEXT NOT NULL, tenant_id TEXT NOT NULL, "
    "created_at INTEGER NOT NULL, expires_at INTEGER, name TEXT NOT NULL, last_used_at INTEGER, revoked_at INTEGER, csrf TEXT NOT NULL, "
    "roles TEXT)",
    "CREATE INDEX ix_hf_credentials_account ON hf_credentials (tenant_id, account_id)",
    "CREATE TABLE hf_devices (tenant_id TEXT NOT NULL, device_id TEXT NOT NULL, actor_id TEXT NOT NULL, first_seen INTEGER NOT NULL, "
    "last_seen INTEGER NOT NULL, cursor INTEGER NOT NULL, report TEXT NOT NULL, PRIMARY KEY (tenant_id, device_id))",
    "CREATE TABLE hf_settings (tenant_id TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (tenant_id, name))",
    "CREATE TABLE hf_attempts (key TEXT NOT NULL PRIMARY KEY, started INTEGER NOT NULL, ends INTEGER NOT NULL, count INTEGER NOT NULL)",
    "CREATE INDEX ix_hf_attempts_ends ON hf_attempts (ends)",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
