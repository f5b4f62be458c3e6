"""What the people of a simulation keep. The merge rules are drawn, so there are two kinds of the same note."""

from __future__ import annotations

from typing import Annotated, Final

from holdfast import Counter, CreatedBy, Json, Money, Record, Set, Text, by_server, merge, own, tenant

__all__ = ["NOTES", "AskingNote", "Diary", "LatestNote"]


class Diary(Record, collection="diaries", access=own):
    """A person's own: nobody else ever sees a letter of it."""

    author: CreatedBy = by_server
    body: Text = ""


class LatestNote(Record, collection="notes", access=tenant):
    """Written down together; of two titles or prices the later one stands."""

    title: str = ""
    price: Money | None = None
    body: Text = ""
    tags: Set[str] = set()
    views: Counter = 0
    extra: Json = {}


class AskingNote(Record, collection="notes", access=tenant):
    """Written down together; two titles or prices are a question."""

    title: Annotated[str, merge.ask] = ""
    price: Annotated[Money, merge.ask] | None = None
    body: Text = ""
    tags: Set[str] = set()
    views: Counter = 0
    extra: Json = {}


NOTES: Final[tuple[type[Record], ...]] = (LatestNote, AskingNote)
