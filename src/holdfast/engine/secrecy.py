"""One tenant's stored facts, opened and closed: sensitive values are sealed wherever the server stores them and plain everywhere between
loading and storing; what was made under an older contract is read under the present one.

The hash that tells a repeated mutation from a reused id is salted, and the salt lies beside it: a sensitive value with few
possibilities could be found by trying. So where a mutation may hold one, the tenant's key goes into the salt.
"""

from __future__ import annotations

from holdfast.core import digest
from holdfast.core.entry import Entry, Item, Row
from holdfast.core.errors import UnsafeSettings
from holdfast.core.schema import Schema
from holdfast.model.contracts import upcast_entry, upcast_row
from holdfast.model.keys import Cipher, MasterKeys, unwrap
from holdfast.model.sealing import Sealing, sensitive_names
from holdfast.runtime import Runtime
from holdfast.storage.protocol import Tenant

__all__ = ["Keyring", "Secrecy"]


class Keyring:
    """Makes each tenant's `Secrecy`. `masters` None is enough while no collection has a sensitive field."""

    def __init__(self, schema: Schema, masters: MasterKeys | None, runtime: Runtime) -> None:
        self.schema = schema
        self.masters = masters
        self._sealing = Sealing(schema)
        self._random_bytes = runtime.random_bytes

    @property
    def needed(self) -> bool:
        return self._sealing.needed

    def secrecy(self, tenant: Tenant) -> Secrecy:
        """Raises UnsafeSettings if the tenant's data key cannot be unwrapped, StorageCorrupt if it is damaged."""
        if not self.needed:
            return Secrecy(self.schema, self._sealing, None, b"")
        if self.masters is None or not tenant.wrapped_key:
            raise UnsafeSettings(f"Organisation {tenant.tenant_id} has no key, and the declarations have sensitive fields.",
                                 hint="Give the master key (HOLDFAST_MASTER_KEY or HOLDFAST_MASTER_KEY_FILE) and open the store again.")
        keys = unwrap(tenant.wrapped_key, tenant.tenant_id, self.masters)
        return Secrecy(self.schema, self._sealing, Cipher(keys, self._random_bytes), keys.versions[min(keys.versions)])


class Secrecy:
    def __init__(self, schema: Schema, sealing: Sealing, cipher: Cipher | None, key: bytes) -> None:
        self._collections = schema.collections
        self._sealing = sealing
        self._cipher = cipher
        self._key = key
        self._hashed_by_key = frozenset(name for name,
                                        one in schema.collections.items() if sensitive_names(one)) if cipher is not None else frozenset()

    def hides(self, collection: str) -> bool:
        """Whether records of the collection have sensitive fields."""
        return collection in self._hashed_by_key

    def open_row(self, row: Row) -> Row:
        if self._cipher is not None:
            row = self._sealing.open_row(self._cipher, row)
        collection = self._collections[row.collection]
        return row if row.contract == collection.contract else upcast_row(row, collection)

    def close_row(self, row: Row) -> Row:
        return row if self._cipher is None else self._sealing.seal_row(self._cipher, row)

    def open_entry(self, entry: Entry) -> Entry:
        if entry.erased:
            return entry
        if self._cipher is not None:
            entry = self._sealing.open_entry(self._cipher, entry)
        collection = self._collections.get(entry.collection)
        return entry if collection is None or entry.contract == collection.contract else upcast_entry(entry, collection)

    def close_entry(self, entry: Entry) -> Entry:
        return entry if self._cipher is None else self._sealing.seal_entry(self._cipher, entry)

    def open_item(self, item: Item) -> Item:
        return item if self._cipher is None else self._sealing.open_item(self._cipher, item)

    def close_item(self, item: Item) -> Item:
        return item if self._cipher is None else self._sealing.seal_item(self._cipher, item)

    def hash_salt(self, collection: str, salt: bytes) -> bytes:
        """The salt of the hash of a mutation of `collection` ("" for an action's call, which may hold anything)."""
        if self._cipher is None or (collection and collection not in self._hashed_by_key):
            return salt
        return digest.keyed_salt(self._key, salt)
