"""The fixed tables: the log and what is made of it, the directory; and the function that says for whom a transaction works.

Revision ID: 0001
Revises:
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TENANT = "tenant_id text COLLATE \"C\" NOT NULL CHECK (tenant_id <> '')"
TEXT = 'text COLLATE "C" NOT NULL'
MAYBE_TEXT = 'text COLLATE "C"'

ACT_AS = """
CREATE FUNCTION holdfast.act_as(tenant text, actor text, roles text) RETURNS void LANGUAGE plpgsql AS $function$
BEGIN
    EXECUTE format('SET LOCAL holdfast.tenant = %L', tenant);
    EXECUTE format('SET LOCAL holdfast.actor = %L', actor);
    EXECUTE format('SET LOCAL holdfast.roles = %L', roles);
    IF roles = 'server' THEN        -- whoever waits for a tenant's head is told, and tries again
        SET LOCAL lock_timeout = '5s';
    END IF;
END
$function$
"""

TABLES = (
    f"CREATE TABLE holdfast.hf_meta (name {TEXT} PRIMARY KEY, value {TEXT})",
    f"CREATE TABLE holdfast.hf_attempts (key {TEXT} PRIMARY KEY, started bigint NOT NULL, ends bigint NOT NULL, count bigint NOT NULL)",
    "CREATE INDEX ix_hf_attempts_ends ON holdfast.hf_attempts (ends)",

    f"CREATE TABLE holdfast.hf_tenants ({TENANT} PRIMARY KEY, name {TEXT}, created_at bigint NOT NULL, suspended boolean NOT NULL, "
    f"wrapped_key {TEXT})",
    f"CREATE TABLE holdfast.hf_accounts (id {TEXT} PRIMARY KEY, email {TEXT}, password_hash {MAYBE_TEXT}, created_at bigint NOT NULL, "
    "operator boolean NOT NULL, disabled boolean NOT NULL)",
    "CREATE UNIQUE INDEX uq_hf_accounts_email ON holdfast.hf_accounts (email)",
    f"CREATE TABLE holdfast.hf_credentials (hash {TEXT} PRIMARY KEY, kind {TEXT}, account_id {TEXT}, tenant_id {TEXT}, "
    f"created_at bigint NOT NULL, expires_at bigint, name {TEXT}, last_used_at bigint, revoked_at bigint, csrf {TEXT}, "
    f"roles {MAYBE_TEXT})",
    "CREATE INDEX ix_hf_credentials_account ON holdfast.hf_credentials (tenant_id, account_id)",
    f"CREATE TABLE holdfast.hf_memberships (account_id {TEXT}, tenant_id {TEXT}, PRIMARY KEY (account_id, tenant_id))",

    f"CREATE TABLE holdfast.hf_heads ({TENANT} PRIMARY KEY, seq bigint NOT NULL, digest bytea NOT NULL) WITH (fillfactor = 50)",
    f"CREATE TABLE holdfast.hf_log ({TENANT}, seq bigint NOT NULL, collection {TEXT}, record_id {TEXT}, device_id {TEXT}, "
    f"actor_id {TEXT}, mutation_id {TEXT}, kind smallint NOT NULL, outcome smallint NOT NULL, contract bigint NOT NULL, "
    f"committed_at bigint NOT NULL, stamp bigint NOT NULL, edited_at bigint, base bigint, after {MAYBE_TEXT}, digest bytea NOT NULL, "
    f"salt bytea, payload_digest bytea, sent_hash {TEXT}, body {MAYBE_TEXT}, rare {MAYBE_TEXT}, address {TEXT}, agent {TEXT}, "
    "PRIMARY KEY (tenant_id, seq))",
    "CREATE UNIQUE INDEX uq_hf_log_mutation ON holdfast.hf_log (tenant_id, device_id, mutation_id)",
    "CREATE INDEX ix_hf_log_record ON holdfast.hf_log (tenant_id, collection, record_id, seq)",

    f"CREATE TABLE holdfast.hf_contexts ({TENANT}, device_id {TEXT}, collection {TEXT}, record_id {TEXT}, body {TEXT}, "
    "PRIMARY KEY (tenant_id, device_id, collection, record_id))",
    f"CREATE TABLE holdfast.hf_items ({TENANT}, opened bigint NOT NULL, device_id {TEXT}, collection {TEXT}, record_id {TEXT}, "
    f"actor_id {TEXT}, assigned_to {MAYBE_TEXT}, bytes bigint NOT NULL, body {TEXT}, PRIMARY KEY (tenant_id, opened))",
    "CREATE UNIQUE INDEX uq_hf_items_device_record ON holdfast.hf_items (tenant_id, collection, record_id, device_id)",
    "CREATE INDEX ix_hf_items_actor ON holdfast.hf_items (tenant_id, actor_id, opened)",
    "CREATE INDEX ix_hf_items_assigned ON holdfast.hf_items (tenant_id, assigned_to, opened)",
    f"CREATE TABLE holdfast.hf_item_refs ({TENANT}, collection {TEXT}, record_id {TEXT}, opened bigint NOT NULL, "
    "PRIMARY KEY (tenant_id, collection, record_id, opened))",
    "CREATE INDEX ix_hf_item_refs_item ON holdfast.hf_item_refs (tenant_id, opened)",
    f"CREATE TABLE holdfast.hf_devices ({TENANT}, device_id {TEXT}, actor_id {TEXT}, first_seen bigint NOT NULL, "
    f"last_seen bigint NOT NULL, cursor bigint NOT NULL, report {TEXT}, PRIMARY KEY (tenant_id, device_id))",
    f"CREATE TABLE holdfast.hf_settings ({TENANT}, name {TEXT}, value {TEXT}, PRIMARY KEY (tenant_id, name))",
)


def upgrade() -> None:
    op.execute(ACT_AS)
    for statement in TABLES:
        op.execute(statement)
