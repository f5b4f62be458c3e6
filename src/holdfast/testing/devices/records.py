"""What the suite's server keeps, and every device under test declares: notes with a field of each merging kind, folders they refer to,
drafts that only their author sees, reports that only editors write, answers with a natural key, and cards, of which the second contract
names a field otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal

from holdfast import Counter, CreatedBy, Json, Money, Record, Ref, Set, Text, by_server, merge, own, role, tenant, upcast

__all__ = ["Answer", "Card", "CardOfTomorrow", "Draft", "Folder", "Note", "Report", "records_of"]


class Folder(Record, collection="folders", access=tenant):
    """Where notes lie."""

    name: str


class Note(Record, collection="notes", access=tenant):
    """Something written down, with a field of every kind that merges in its own way."""

    title: str = ""
    folder: Ref[Folder] | None = None
    status: Literal["open", "done"] = "open"
    price: Annotated[Money, merge.ask] | None = None
    body: Text = ""
    tags: Set[str] = set()
    views: Counter = 0
    extra: Json = {}


class Draft(Record, collection="drafts", access=own):
    """What only its author sees."""

    author: CreatedBy = by_server
    body: Text = ""


class Report(Record, collection="reports", read=role("owner", "editor"), write=role("editor")):
    """What only editors write, and only editors and owners read."""

    title: str = ""
    body: Text = ""


class Answer(Record, collection="answers", key=("question",), access=tenant):
    """The answer to a question: two devices that make it offline have made the same record."""

    question: str
    text: Text = ""
    mark: str = ""


class Card(Record, collection="cards", access=tenant):
    """As devices know it that were built yesterday."""

    title: str = ""
    body: Text = ""


class CardOfTomorrow(Record, collection="cards", access=tenant, contract=2, upcasts={1: [upcast.rename("title", "heading")]}):
    """The same collection under its next contract."""

    heading: str = ""
    body: Text = ""


def records_of(contract: int) -> list[type[Record]]:
    """The records of a program in which cards have this contract."""
    return [Note, Folder, Draft, Report, Answer, Card if contract == 1 else CardOfTomorrow]
