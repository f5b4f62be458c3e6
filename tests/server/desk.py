"""An application with one of everything, for tests of what calls mean."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from holdfast import Counter, Json, Money, Record, Ref, Sensitive, Set, Text, merge, own, role, tenant, via
from holdfast.app import App, Context, action, route


class Folder(Record, collection="folders", access=tenant):
    """Where notes lie."""

    name: str


class Note(Record, collection="notes", access=tenant):
    """Something written down."""

    title: str
    folder: Ref[Folder] | None = None
    status: Literal["open", "done"] = "open"
    price: Annotated[Money, merge.ask] | None = None
    body: Text = ""
    tags: Set[str] = set()
    views: Counter = 0
    extra: Json = {}
    pin: Sensitive[str] | None = None


class Diary(Record, collection="diaries", access=own("writer") | role("archivist")):
    """Seen by who wrote it, and by archivists, who may give it to another."""

    writer: str
    text: Text = ""


class Page(Record, collection="pages", access=via("diary")):
    """A page of a diary: seen with it."""

    diary: Ref[Diary]
    number: int = 0


class Salary(Record, collection="salaries", access=role("owner")):
    """For owners."""

    person: str
    amount: Money = "0.00"  # type: ignore[assignment]


class RenameArguments(msgspec.Struct):
    note_id: str
    title: str
    times: int = 1


@action("rename")
async def rename(ctx: Context, args: RenameArguments) -> dict[str, Any]:
    """Give a note another title."""
    note = await ctx.get(Note, args.note_id)
    change = ctx.change(note, title=args.title * args.times)
    return {"note": change.record, "rev": change.rev}


class CountArguments(msgspec.Struct):
    status: str
    least: int = 0


@action("count", reads_only=True)
async def count(ctx: Context, args: CountArguments) -> dict[str, Any]:
    """How many notes have a status."""
    return {"count": len(await ctx.list(Note, status=args.status)), "least": args.least}


@action("nothing", reads_only=True, only_for=["owner"])
async def nothing(ctx: Context, args: dict[str, Any]) -> None:
    """Answers null, to owners."""
    return None


app = App("desk", title="Desk", doc="Notes for tests.", records=[Folder, Note, Diary, Page, Salary], actions=[rename, count, nothing],
          routes=[route("POST", "/api/desk/notes/{note_id}/rename", rename), route("GET", "/api/desk/count/{status}", count),
                  route("GET", "/api/desk/nothing", nothing)])
