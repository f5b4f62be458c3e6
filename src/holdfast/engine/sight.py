"""What one caller sees at one moment: a reader's snapshot, and the member's roles as they stand in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast.core.access import Actor, allows
from holdfast.core.entry import Entry, Row
from holdfast.core.errors import NotFound
from holdfast.core.facts import Key
from holdfast.core.schema import Collection, Schema
from holdfast.engine.secrecy import Secrecy
from holdfast.engine.views import ABSENT
from holdfast.storage.protocol import Reader

__all__ = ["Sight"]

BACKED_UP = "backed_up_seq"


class Sight:
    def __init__(self, reader: Reader, tenant_id: str, actor: Actor, *, schema: Schema, secrecy: Secrecy) -> None:
        self.reader = reader
        self.tenant_id = tenant_id
        self.actor = actor
        self.schema = schema
        self.secrecy = secrecy

    def collection(self, name: str) -> Collection:
        """Raises NotFound, in the words of a record that is not there."""
        found = self.schema.collections.get(name)
        if found is None:
            raise NotFound(f"There is no collection {name[:60]!r}.")
        return found

    def may_read(self, row: Row) -> bool:
        return allows(self.schema.collections[row.collection].read, row.columns(), self.actor)

    async def all_rows(self, keys: Iterable[Key]) -> dict[Key, Row]:
        """Rows as they stand, also those the caller may not read: look at `may_read` before anything of them leaves."""
        wanted = [key for key in dict.fromkeys(keys) if key[0] in self.schema.collections]
        found = await self.reader.rows(self.tenant_id, wanted) if wanted else {}
        return {key: self.secrecy.open_row(row) for key, row in found.items()}

    async def row(self, collection: str, record_id: str) -> Row:
        """The record, deleted or not. Raises NotFound for absent and hidden alike."""
        self.collection(collection)
        key = (collection, record_id)
        row = (await self.all_rows([key])).get(key)
        if row is None or not self.may_read(row):
            raise NotFound(ABSENT)
        return row

    async def entries(self, key: Key, *, after: int = 0, until: int | None = None, descending: bool = False,
                      limit: int | None = None) -> list[Entry]:
        """Entries about a record, plain and under the present contract."""
        found = await self.reader.record_entries(self.tenant_id, key, after=after, until=until, descending=descending, limit=limit)
        return [self.secrecy.open_entry(entry) for entry in found]

    def opened(self, entries: Sequence[Entry]) -> list[Entry]:
        return [self.secrecy.open_entry(entry) for entry in entries]

    async def backed_up_seq(self) -> int:
        return int(await self.reader.setting(self.tenant_id, BACKED_UP) or 0)
