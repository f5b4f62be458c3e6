"""What must hold at the end: of everything that people did, by the log, by the records as they stand and by what each device shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from holdfast.core.ops import AddOp
from tests.simulation.ledger import Ledger, letters_of, strings_of
from tests.simulation.witness import Broken, Deed, Witness, digits_of

__all__ = ["Verdict"]

Key = tuple[str, str]
Fields = Mapping[str, Any]


class Verdict:
    """Of one tenant. `records`: every record as the server has it; `refused`: the ops that stand as refused on the devices; `items`:
    what waits in the inbox. `was_restored`: a server was put back, so that what was done knowing something may have come before it."""

    def __init__(self, witness: Witness, tenant: str, ledger: Ledger, records: Mapping[Key, Fields], *, items: Iterable[Any],
                 refused: Iterable[Any], was_restored: bool) -> None:
        self.witness = witness
        self.tenant = tenant
        self.ledger = ledger
        self.records = records
        self.items = list(items)
        self.refused = list(refused)
        self.was_restored = was_restored

    def check(self) -> None:
        self.log_is_whole()
        self.acknowledged_is_there()
        held, refused = self._held_letters(), letters_of(self.refused)
        for key, record in self.records.items():
            self.letters_are_kept(key, record["fields"], held | refused)
            if key[0] == "notes":
                self.increments_count_once(key, record["fields"])
                self.tags_are_kept(key, record["fields"])
                self.knowledge_beats_clocks(key, record["fields"])
        self.words_are_kept()
        self.deletes_stay()
        self.nothing_vanished()

    def _deeds(self, choose: Callable[[Deed], bool]) -> list[Deed]:
        return [one for one in self.witness.deeds if one.tenant == self.tenant and choose(one)]

    # -- the log ----------------------------------------------------------------------------------------------------------

    def log_is_whole(self) -> None:
        """Numbers without gaps, each mutation once, and the records are what the log comes to."""
        for at, entry in enumerate(self.ledger.entries, start=1):
            if entry.seq != at:
                raise Broken(f"P1: entry {entry.seq} stands at place {at} of the log")
        for mutation_id, entries in self.ledger.by_mutation.items():
            if len(entries) > 1:
                raise Broken(f"P2: {mutation_id} took effect {len(entries)} times")
        folded = self.ledger.fold()
        for key, record in self.records.items():
            expected, stands = folded.get(key), record["fields"]
            if expected is None:
                raise Broken(f"P3: {key} stands without an entry")
            same = all(_plain(stands[name]) == _plain(value) for name, value in expected.fields.items())
            if not same or expected.deleted is not record["deleted"]:
                raise Broken(f"P3: {key} is {stands}, and its log says {expected}")

    def acknowledged_is_there(self) -> None:
        """Of this history. What was acknowledged before the server was put back has to come from the devices: those that have it on their
        disks, which the checks of what people did ask for."""
        for ack in self.witness.acks.values():
            is_of_now = ack.history == self.witness.history and self._is_mine(ack.mutation_id)
            if is_of_now and ack.mutation_id not in self.ledger.by_mutation:
                raise Broken(f"P1: {ack.mutation_id} was acknowledged ({ack.outcome}, entry {ack.seq}) and is not in the log")

    def _is_mine(self, mutation_id: str) -> bool:
        return self.witness.acked_seqs.get((self.witness.acks[mutation_id].history, self.tenant,
                                            self.witness.acks[mutation_id].seq)) == mutation_id

    # -- what people did --------------------------------------------------------------------------------------------------

    def letters_are_kept(self, key: Key, fields: Fields, elsewhere: set[str]) -> None:
        text: str = fields["body"]
        doubled = {one for one in text if text.count(one) > 1}
        if doubled:
            raise Broken(f"P2: {doubled} stand twice in {text!r}")
        typed = "".join(one.token for one in self.witness.of("letters", key=key))
        missing = set(typed) - self.witness.removed - set(text) - elsewhere
        if missing:
            raise Broken(f"P1: {sorted(missing)} were typed in {key[1]} and are nowhere")
        foreign = set(text) - {letter for one in self.witness.deeds if one.kind == "letters" for letter in one.token} - {"·"}
        if foreign:
            raise Broken(f"P3: {sorted(foreign)} stand in {key[1]} and nobody typed them")
        if not self.was_restored and not elsewhere:
            back = {letter for one in self.witness.of("letters", key=key) if one.at_once for letter in one.knew} & set(text)
            if back:
                raise Broken(f"P3: {sorted(back)} were deleted in {key[1]} and are back")

    def increments_count_once(self, key: Key, fields: Fields) -> None:
        digits = digits_of(fields["views"])
        twice = [at for at, digit in digits.items() if digit > 1]
        if twice:
            raise Broken(f"P2: the increments {twice} of {key[1]} counted {[digits[at] for at in twice]} times")
        elsewhere: set[int] = set()
        for op in [*self.refused, *self._held_ops(key)]:
            if isinstance(op, AddOp) and op.by > 0:
                elsewhere |= set(digits_of(op.by))
        missing = {one.token for one in self.witness.of("add", key=key)} - set(digits) - elsewhere
        if missing:
            raise Broken(f"P1: the increments {sorted(missing)} of {key[1]} did not count")

    def tags_are_kept(self, key: Key, fields: Fields) -> None:
        stand, put = set(fields["tags"]), {one.token for one in self.witness.of("tag", key=key)}
        taken = {one.token for one in self.witness.of("untag", sure=False, key=key)}
        missing = put - taken - stand - self._words_elsewhere(key)
        if missing:
            raise Broken(f"P1: the tags {sorted(missing)} of {key[1]} are gone")
        back = {one.token for one in self.witness.of("untag", key=key) if one.at_once} & stand
        if back and not self.was_restored and not self._words_elsewhere(key):
            raise Broken(f"P3: the tags {sorted(back)} of {key[1]} were taken away and are back")

    def words_are_kept(self) -> None:
        """A title, a price or a value that does not stand is in the log, with who and when, unless the same device wrote over it before it
        was sent."""
        strings = self.ledger.strings() | set(strings_of([getattr(op, "value", None) for op in self.refused]))
        for at, deed in enumerate(self.witness.deeds):
            if deed.tenant != self.tenant or deed.kind not in ("set", "create") or deed.sure == "maybe" or str(deed.token) in strings:
                continue
            later = (one for one in self.witness.deeds[at + 1:] if one.device == deed.device and one.place == deed.place
                     and one.key == deed.key)
            if deed.kind == "create" or not any(later):
                raise Broken(f"P3: {deed.token!r} was written to {deed.place} of {deed.key[1]} and left no trace")

    def knowledge_beats_clocks(self, key: Key, fields: Fields) -> None:
        """What somebody wrote over, knowing it, does not come back."""
        if self.was_restored or self._words_elsewhere(key):
            return
        stands = {"/title": fields["title"], "/price": fields["price"], **{f"/extra/{name}": value for name, value in
                                                                           fields["extra"].items()}}
        applied = {str(op.value) for entry, op in self.ledger.sent() if hasattr(op, "value") and entry.outcome != "held"
                   and not isinstance(op.value, dict)}
        for deed in self._deeds(lambda one: one.kind == "set" and one.key == key and one.at_once and one.knew is not None):
            now = stands.get(deed.place)
            if now is not None and _number(deed.knew) == _number(now) and str(deed.token) in applied:
                raise Broken(f"P3: {deed.place} of {key[1]} is {now!r} again, over which {deed.token!r} was written")

    def deletes_stay(self) -> None:
        for deed in self.witness.of("delete"):
            record = self.records.get(deed.key)
            if deed.tenant == self.tenant and record is not None and not record["deleted"] and not self._waits(deed.key):
                raise Broken(f"P3: {deed.key[1]} was deleted and is back")

    def nothing_vanished(self) -> None:
        refused = set(strings_of([getattr(op, "value", None) for op in self.refused]))
        for deed in self.witness.of("create"):
            if deed.tenant == self.tenant and deed.key not in self.records and not self._waits(deed.key) and deed.token not in refused:
                raise Broken(f"P1: the note {deed.token!r} is gone")

    # -- what waits -------------------------------------------------------------------------------------------------------

    def _waits(self, key: Key) -> bool:
        return bool(self.refused) or any((item.collection, item.record_id) == key for item in self.items)

    def _held_letters(self) -> set[str]:
        found: set[str] = set()
        for item in self.items:
            for texts in item.texts.values():
                for held in texts:
                    for part in held.change:
                        found |= set(part) if isinstance(part, str) else set()
            found |= letters_of(part.op for part in item.parts if part.op is not None)
        return found

    def _held_ops(self, key: Key) -> list[Any]:
        return [part.op for item in self.items if (item.collection, item.record_id) == key for part in item.parts if part.op is not None]

    def _words_elsewhere(self, key: Key) -> set[str]:
        found: set[str] = set()
        for op in [*self.refused, *self._held_ops(key)]:
            found.update(strings_of(getattr(op, "value", None)))
            found.update(getattr(op, "items", ()))
        return found


def _plain(value: Any) -> str:
    return json.dumps(sorted(value) if isinstance(value, list | set) else value, sort_keys=True, ensure_ascii=False)


def _number(value: Any) -> Any:
    """Prices are compared as numbers."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value
