"""Who watches: what each person did, what each acknowledgement said, and what must follow from the two.

The witness stands beside the system. It hears what people type from those who type it, and what the server says from the network; it asks
neither status nor receipts whether they are right, it holds them to what they say. Everything that is typed is told apart: each letter,
each title, each price and each tag occurs once in a run, and each increment is a digit of its own to the base of four, so that one that
counted twice is a two.

What a person did is *sure* once the device said that it is on its disk, and may otherwise be lost with the program (`memory`), or has been
perhaps (`maybe`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from holdfast.testing.network import Moment

__all__ = ["INCREMENTS_MAX", "Ack", "Broken", "Deed", "Witness", "digits_of", "domain_start"]

INCREMENTS_MAX: Final = 26
LETTERS_PER_DOMAIN: Final = 900

Kind = Literal["letters", "add", "set", "tag", "untag", "create", "delete"]


class Broken(AssertionError):
    """A promise was not kept."""


@dataclass(slots=True)
class Deed:
    """Something a person did. `place` within the record; `knew`: what stood there before their eyes."""

    device: int
    tab: str
    tenant: str
    key: tuple[str, str]
    kind: Kind
    place: str
    token: Any
    knew: Any = None
    sure: Literal["sure", "memory", "maybe"] = "maybe"
    at_once: bool = False       # it was sure as soon as it was done


@dataclass(frozen=True, slots=True)
class Ack:
    mutation_id: str
    outcome: str
    seq: int
    history: int


def domain_start(domain: int) -> int:
    """The first code point of what is typed in one domain: who may not read it never receives one of these."""
    return 0x4E00 + domain * LETTERS_PER_DOMAIN


def digits_of(number: int) -> dict[int, int]:
    """Position -> digit to the base of four, zeros left out."""
    found, at = {}, 0
    while number:
        number, digit = divmod(number, 4)
        if digit:
            found[at] = digit
        at += 1
    return found


class _Results(msgspec.Struct):
    results: list[dict[str, Any]]


_results: Final = msgspec.json.Decoder(_Results)


@dataclass(slots=True)
class Witness:
    deeds: list[Deed] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)          # letters that somebody deleted, or may have
    acks: dict[str, Ack] = field(default_factory=dict)
    acked_seqs: dict[tuple[int, str, int], str] = field(default_factory=dict)
    history: int = 0
    increments: dict[tuple[str, str], int] = field(default_factory=dict)
    hidden_from: dict[str, re.Pattern[str]] = field(default_factory=dict)   # link -> letters that must never arrive on it
    tenants: dict[str, str] = field(default_factory=dict)                   # link -> its tenant
    folder: bytes = b"?"                    # where this run's files lie: no part of its digest
    messages: int = 0
    _typed: dict[int, int] = field(default_factory=dict)
    _words: int = 0
    _digest: Any = field(default_factory=hashlib.sha256)

    # -- what people do ---------------------------------------------------------------------------------------------------

    def letters(self, domain: int, count: int) -> str:
        """So many letters that nobody typed before; fewer, once the domain is used up."""
        typed = self._typed.get(domain, 0)
        count = min(count, LETTERS_PER_DOMAIN - typed)
        self._typed[domain] = typed + count
        return "".join(chr(domain_start(domain) + typed + at) for at in range(count))

    def word(self, who: str) -> str:
        self._words += 1
        return f"{who}-{self._words}"

    def increment(self, key: tuple[str, str]) -> int | None:
        """The next digit of this counter; None once it has all it can hold."""
        at = self.increments.get(key, 0)
        if at >= INCREMENTS_MAX:
            return None
        self.increments[key] = at + 1
        return at

    def note(self, deed: Deed) -> Deed:
        self.deeds.append(deed)
        return deed

    def program_ended(self, tab: str) -> None:
        """What was in its memory alone may be lost."""
        for deed in self.deeds:
            if deed.tab == tab and deed.sure == "memory":
                deed.sure = "maybe"

    def server_was_put_back(self, history: int) -> None:
        """What was on no disk but the server's, because the device's took nothing, may be lost with it."""
        self.history = history
        for deed in self.deeds:
            if deed.sure == "memory":
                deed.sure = "maybe"

    def of(self, kind: Kind, *, sure: bool = True, key: tuple[str, str] | None = None) -> Iterable[Deed]:
        return (one for one in self.deeds if one.kind == kind and (not sure or one.sure != "maybe") and (key is None or one.key == key))

    # -- what is said -----------------------------------------------------------------------------------------------------

    def watch(self, moment: Moment, link: str, where: str, content: bytes) -> None:
        self.messages += 1
        self.log(moment, link, where, content.replace(self.folder, b""))
        if moment == "said" and (where == "/v1/push" or (where == "socket" and b'"pushed"' in content[:60])):
            self._take_acks(link, content)
        elif moment == "arrived":
            found = self.hidden_from[link].search(content.decode("utf-8", "ignore"))
            if found:
                raise Broken(f"P4: {link} received {found.group()!r}, which is not for these eyes")

    def _take_acks(self, link: str, content: bytes) -> None:
        try:
            results = _results.decode(content).results
        except msgspec.MsgspecError:
            return
        for one in results:
            if one["outcome"] == "refused" or one.get("seq") is None:
                continue
            ack = Ack(one["mutation_id"], one["outcome"], one["seq"], self.history)
            before = self.acks.get(ack.mutation_id)
            if before is not None and before.history == ack.history and before.seq != ack.seq:
                raise Broken(f"P2: {ack.mutation_id} was acknowledged as entry {before.seq} and as entry {ack.seq}")
            place = (ack.history, self.tenants[link], ack.seq)
            if self.acked_seqs.setdefault(place, ack.mutation_id) != ack.mutation_id:
                raise Broken(f"P1: entry {ack.seq} was acknowledged for two mutations")
            self.acks[ack.mutation_id] = ack

    def log(self, *what: Any) -> None:
        """Make this a part of the run's digest."""
        for one in what:
            self._digest.update(one if isinstance(one, bytes) else str(one).encode())
            self._digest.update(b"\0")

    def digest(self) -> str:
        return str(self._digest.hexdigest())
