"""A person at a program: edits of every kind, each noted by the witness with what stood before the person's eyes."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from holdfast import Record
from holdfast.client import Replica
from holdfast.core.errors import HoldfastError
from tests.simulation.machines import Tab
from tests.simulation.records import Diary
from tests.simulation.witness import Broken, Deed, Kind, Witness

__all__ = ["Hands"]


class Hands:
    """`domain`: the letters of what this person shares; `own_domain`: of what is nobody else's."""

    def __init__(self, witness: Witness, rng: random.Random, tab: Tab, note_kind: type[Record], *, tenant: str, domain: int,
                 own_domain: int) -> None:
        self.witness = witness
        self.rng = rng
        self.tab = tab
        self.kind = note_kind
        self.tenant = tenant
        self.domain = domain
        self.own_domain = own_domain

    # -- one edit ---------------------------------------------------------------------------------------------------------

    def work(self, replica: Replica, main_id: str) -> None:
        note: Any = self._note(replica, main_id)
        if note is None:
            return
        chance = self.rng.random()
        if chance < 0.5:
            self.type(replica, note, self.domain)
        elif chance < 0.6:
            self.add(replica, note)
        elif chance < 0.74:
            self.set(replica, note)
        elif chance < 0.82:
            self.tag(replica, note)
        elif chance < 0.88:
            self.keep_a_diary(replica)
        elif chance < 0.94:
            title = self.witness.word(self.tab.name)
            self.do("create", ("notes", ""), "", title, None, lambda: self._create(replica, title))
        elif note.id != main_id:
            self.do("delete", ("notes", note.id), "", note.id, None, lambda: replica.delete(note))

    def _note(self, replica: Replica, main_id: str) -> Any:
        """Mostly the one that everybody works on."""
        if self.rng.random() < 0.75:
            return replica.find(self.kind, main_id)
        notes = replica.list(self.kind)
        return self.rng.choice(notes) if notes else None

    def do(self, kind: Kind, key: tuple[str, str], place: str, token: Any, knew: Any, act: Callable[[], Any]) -> bool:
        """Do it, and note how sure it then is by the device's own word."""
        deed = self.witness.note(Deed(self.tab.device.number, self.tab.name, self.tenant, key, kind, place, token, knew))
        replica = self.tab.replica
        assert replica is not None
        try:
            made = act()
        except HoldfastError as error:
            self.witness.log("refused here", type(error).__name__)
            return False
        if kind == "create":
            deed.key = ("notes", made.id)
        if self.tab.device.is_powered:
            deed.sure = self.claim(replica, deed.key)
            deed.at_once = deed.sure == "sure"
        self.witness.log(kind, deed.key[1], str(token), deed.sure)
        return True

    def claim(self, replica: Replica, key: tuple[str, str]) -> Any:
        """What the device says of this record."""
        said = replica._device
        if said.failure is not None or any(row.key == key for row in said.unwritten):
            return "memory"
        return "sure"

    def _create(self, replica: Replica, title: str) -> Any:
        return replica.create(self.kind(title=title))

    # -- kinds of edits ---------------------------------------------------------------------------------------------------

    def type(self, replica: Replica, record: Record, domain: int) -> None:
        buffer = replica.text(record, "body")
        key = (replica._name(type(record)), record.id)
        try:
            for _ in range(self.rng.randint(1, 3)):
                at = self.rng.randint(0, len(buffer))
                gone = buffer.text[at:at + self.rng.choice((0, 0, 0, 1, 2))]
                new = self.witness.letters(domain, self.rng.randint(0, 3))
                wanted = buffer.text[:at] + new + buffer.text[at + len(gone):]
                self.witness.removed |= set(gone)

                def splice(at: int = at, gone: str = gone, new: str = new) -> None:
                    buffer.splice(at, len(gone), new)

                if (gone or new) and self.do("letters", key, "/body", new, gone, splice) and buffer.text != wanted:
                    raise Broken(f"P5: {self.tab.name} typed {new!r} for {gone!r} at {at}, and sees something else")
        finally:
            buffer.close()

    def add(self, replica: Replica, note: Any) -> None:
        key = ("notes", note.id)
        digit = self.witness.increment(key)
        if digit is not None:
            self.do("add", key, "/views", digit, None, lambda: replica.change(note, views=note.views + 4 ** digit))

    def set(self, replica: Replica, note: Any) -> None:
        key, which = ("notes", note.id), self.rng.random()
        if which < 0.4:
            word = self.witness.word(self.tab.name)
            self.do("set", key, "/title", word, note.title, lambda: replica.change(note, title=word))
        elif which < 0.6:
            self.witness._words += 1
            price = Decimal(self.witness._words)
            knew = None if note.price is None else f"{note.price:.2f}"
            self.do("set", key, "/price", f"{price:.2f}", knew, lambda: replica.change(note, price=price))
        else:
            name, word = self.rng.choice("xyz"), self.witness.word(self.tab.name)
            extra = {**note.extra, name: word}
            self.do("set", key, f"/extra/{name}", word, note.extra.get(name), lambda: replica.change(note, extra=extra))

    def tag(self, replica: Replica, note: Any) -> None:
        key = ("notes", note.id)
        if note.tags and self.rng.random() < 0.35:
            gone = self.rng.choice(sorted(note.tags))
            self.do("untag", key, "/tags", gone, None, lambda: replica.change(note, tags=note.tags - {gone}))
        else:
            word = self.witness.word(self.tab.name)
            self.do("tag", key, "/tags", word, None, lambda: replica.change(note, tags=note.tags | {word}))

    def keep_a_diary(self, replica: Replica) -> None:
        diaries = replica.list(Diary)
        if diaries:
            self.type(replica, diaries[0], self.own_domain)
        else:
            replica.create(Diary())
