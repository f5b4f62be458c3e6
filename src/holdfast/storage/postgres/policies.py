"""Row-level security: who sees and writes which rows when SQL runs under the app's role. Enabled and forced on every table but the one that
holds the layout; without a tenant set nothing is seen.

A collection's access rules become one policy for each operation, over the row's own columns and the transaction's settings, without a
sub-select. The server itself (the committer, whose batch holds many actors' mutations) is admitted to all of its tenant: there `decide`
is the guard.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from holdfast.core.access import Nobody, Rule
from holdfast.core.schema import Collection, Schema
from holdfast.storage.layout import table_of
from holdfast.storage.postgres.manifest import FIXED
from holdfast.storage.postgres.names import APP_ROLE, SCHEMA, qualified
from holdfast.storage.postgres.rules import AS_SERVER, FALSE, TENANT_SETTING, TRUE, policy_condition

__all__ = ["OPERATIONS", "digests", "fixed_statements", "rule_of", "statements"]

OPERATIONS: Final = ("select", "insert", "update", "delete")

_SAME_TENANT: Final = f"tenant_id = {TENANT_SETTING}"
_DIRECTORY: Final = f"{AS_SERVER} AND coalesce({TENANT_SETTING}, '') = ''"
_UPDATED_IN_LOG: Final = "body, payload_digest, salt, address, agent"


def rule_of(collection: Collection, operation: str) -> Rule:
    """The access rule that stands behind an operation on a collection's table."""
    if operation == "select":
        return collection.read
    if operation == "insert":
        return collection.write if collection.create is None else collection.create
    if collection.append_only:
        return Nobody()
    return collection.delete if operation == "delete" and collection.delete is not None else collection.write


def fixed_statements() -> Iterator[str]:
    """For the fixed tables: forced row-level security, its policies, and what the app's role may do."""
    yield f"GRANT USAGE ON SCHEMA {SCHEMA} TO {APP_ROLE}"
    yield f"GRANT SELECT ON {qualified('hf_meta')}, {qualified('hf_revision')} TO {APP_ROLE}"
    for name, kind in FIXED.items():
        if name == "hf_meta":
            continue
        yield from _forced(name)
        if kind == "tenant":
            yield _policy(name, "tenant", "ALL", _SAME_TENANT, _SAME_TENANT)
        elif name == "hf_tenants":
            yield _policy(name, "own", "SELECT", f"({AS_SERVER} OR {_SAME_TENANT})", None)
            yield _policy(name, "directory", "ALL", _DIRECTORY, _DIRECTORY)
        else:
            yield _policy(name, "directory", "ALL", _DIRECTORY, _DIRECTORY)
        yield f"GRANT {_rights(name)} ON {qualified(name)} TO {APP_ROLE}"


def _rights(name: str) -> str:
    """The log is added to; only what erasing takes away can be changed."""
    if name == "hf_log":
        return f"SELECT, INSERT, UPDATE ({_UPDATED_IN_LOG})"
    return "SELECT, INSERT, UPDATE, DELETE"


def statements(schema: Schema, name: str) -> Iterator[str]:
    """The same for a collection's table. Rows are never deleted by the server, so nobody is granted that."""
    collection = schema.collections[name]
    table = table_of(collection, schema)
    yield from _forced(name)
    for operation in OPERATIONS:
        admitted = _admitted(policy_condition(rule_of(collection, operation), table))
        yield _policy(name, operation, operation.upper(), None if operation == "insert" else admitted,
                      admitted if operation in ("insert", "update") else None)
    yield f"GRANT SELECT, INSERT, UPDATE ON {qualified(name)} TO {APP_ROLE}"


def digests(schema: Schema) -> dict[str, str]:
    """By table ("": all fixed ones), what differs when its statements must be run anew."""
    said = {"": list(fixed_statements()), **{name: list(statements(schema, name)) for name in schema.collections}}
    return {name: hashlib.sha256("\n".join(lines).encode()).hexdigest() for name, lines in said.items()}


def _admitted(condition: str) -> str:
    if condition == TRUE:
        return _SAME_TENANT
    return f"({_SAME_TENANT} AND {AS_SERVER})" if condition == FALSE else f"({_SAME_TENANT} AND ({AS_SERVER} OR {condition}))"


def _forced(name: str) -> Iterator[str]:
    yield f"ALTER TABLE {qualified(name)} ENABLE ROW LEVEL SECURITY"
    yield f"ALTER TABLE {qualified(name)} FORCE ROW LEVEL SECURITY"


def _policy(table: str, name: str, operation: str, using: str | None, check: str | None) -> str:
    parts = [f"CREATE POLICY hf_{name} ON {qualified(table)} FOR {operation}"]
    if using is not None:
        parts.append(f"USING ({using})")
    if check is not None:
        parts.append(f"WITH CHECK ({check})")
    return " ".join(parts)
