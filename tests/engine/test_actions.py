"""Actions: P2 (a call sent twice takes effect once), P3 (all or nothing), P4 (within the caller's rights)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from holdfast import open_store
from holdfast.app import App, Context, action, route
from holdfast.core.errors import Conflict, DeclarationError, Forbidden, InvalidValue, NotFound, Reused
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from holdfast.engine.verify import verify_tenant
from tests.engine.world import ALL, Note, Secret, StillRuntime, Task, Workshop

MEANWHILE: list[Any] = []
"""What happens between an action's reading and its commit."""
RUNS: list[str] = []


class Transfer(msgspec.Struct):
    source: str
    target: str
    views: int


@action("transfer")
async def transfer(ctx: Context, args: Transfer) -> dict[str, Any]:
    """Move views from one note to another."""
    RUNS.append("transfer")
    source, target = await ctx.get(Note, args.source), await ctx.get(Note, args.target)
    taken = ctx.change(source, views=source.views - args.views)
    ctx.change(target, views=target.views + args.views)
    for happening in MEANWHILE:
        await happening()
    return {"left": source.views - args.views, "source": taken.record, "rev": taken.rev, "receipt": taken.receipt}


@action("count")
async def count(ctx: Context, args: dict[str, Any]) -> int:
    """Keep the number of notes in a note of its own."""
    RUNS.append("count")
    found = await ctx.list(Note, status="sent", limit=1_000)
    ctx.create(Note(title=f"there are {len(found)}"))
    for happening in MEANWHILE:
        await happening()
    return len(found)


class Wanted(BaseModel):
    title: str
    times: int = 1


@action("several")
async def several(ctx: Context, args: Wanted) -> list[Any]:
    return [ctx.create("notes", {"title": args.title, "status": "nonsense" if args.title == "bad" and n == 1 else "draft"}).id
            for n in range(args.times)]


@action("titles", reads_only=True)
async def all_titles(ctx: Context, args: dict[str, Any]) -> list[Note]:
    return await ctx.list(Note, sort=["-title"])


@action("peek", grants={"owner"}, only_for={"trusted"})
async def peek(ctx: Context, args: dict[str, Any]) -> str:
    return (await ctx.get(Secret, args["id"])).label


@action("draft")
async def draft(ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
    """Save a text on the version it was made on, else on one's own last save."""
    base = args.get("base") or await ctx.last_own_position(Note, args["id"])
    change = ctx.change(("notes", args["id"]), base=base, body=args["body"])
    return {"body": change.record, "outcome": change.outcome}


@action("wrong", reads_only=True)
async def wrong(ctx: Context, args: dict[str, Any]) -> None:
    ctx.create(Note(title="x"))


DESK = App("desk", records=[*ALL, Secret], actions=[transfer, count, several, all_titles, peek, draft, wrong],
           routes=[route("POST", "/api/desk/transfer", transfer)])


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, runtime: StillRuntime) -> AsyncIterator[Store]:
    MEANWHILE.clear()
    RUNS.clear()
    async with open_store(tmp_path / "data" if request.param == "sqlite" else None, apps=[DESK], runtime=runtime) as opened:
        yield opened


async def notes_with(ann: MemberSession) -> tuple[Note, Note]:
    return await ann.create(Note(title="a", views=10)), await ann.create(Note(title="b"))


async def call(store: Store, ann: MemberSession, source: Note, target: Note, mutation_id: str = "t1", views: int = 3) -> dict[str, Any]:
    return await store.action(ann.caller, "desk.transfer", {"source": source.id, "target": target.id, "views": views},
                              mutation_id=mutation_id)


async def test_all_its_changes_commit_with_its_reply(store: Store, ann: MemberSession) -> None:
    source, target = await notes_with(ann)
    answer = await call(store, ann, source, target)
    assert (answer["outcome"], answer["receipt"], len(answer["results"])) == ("applied", "committed", 2)
    assert [(await ann.get(Note, note.id)).views for note in (source, target)] == [7, 3]


async def test_promises_in_the_reply_are_kept(store: Store, ann: MemberSession) -> None:
    source, target = await notes_with(ann)
    answer = await call(store, ann, source, target)
    assert answer["reply"]["source"] == await store.get(ann.caller, "notes", source.id)
    assert (answer["reply"]["rev"], answer["reply"]["receipt"]) == ((await ann.get(Note, source.id)).rev, "committed")


async def test_the_same_call_again_gets_the_stored_reply_and_does_nothing(store: Store, ann: MemberSession) -> None:
    source, target = await notes_with(ann)
    first = await call(store, ann, source, target)
    again = await call(store, ann, source, target)
    assert (again["reply"], again["outcome"], again["position"]) == (first["reply"], "duplicate", first["position"])
    assert RUNS == ["transfer"]
    assert (await ann.get(Note, source.id)).views == 7


async def test_the_same_id_with_other_arguments_is_reused(store: Store, ann: MemberSession) -> None:
    source, target = await notes_with(ann)
    await call(store, ann, source, target)
    with pytest.raises(Reused):
        await call(store, ann, source, target, views=4)


async def test_a_repeated_call_shows_nothing_that_may_no_longer_be_seen(store: Store, ann: MemberSession) -> None:
    guide = await store.member("acme", "guide@example.org", roles={"facilitator", "trusted"})
    secret = await ann.create(Secret(label="x"))
    assert (await store.action(guide.caller, "desk.peek", {"id": secret.id}, mutation_id="p1"))["reply"] == "x"
    with pytest.raises(Forbidden):
        await store.action(guide.caller, "desk.peek", {"id": secret.id}, mutation_id="p1", device_id=None)
        await store.member("acme", "guide@example.org", roles=set())
        await store.action(guide.caller, "desk.peek", {"id": secret.id}, mutation_id="p1")


async def test_if_one_change_cannot_be_made_none_is(store: Store, ann: MemberSession) -> None:
    with pytest.raises(InvalidValue):
        await store.action(ann.caller, "desk.several", {"title": "bad", "times": 3}, mutation_id="s1")
    assert await ann.list(Note) == []
    report = await verify_tenant(store, "acme")
    assert report.ok, report.findings


async def test_if_what_it_read_has_changed_it_runs_again(store: Store, ann: MemberSession) -> None:
    source, target = await notes_with(ann)

    async def spend() -> None:
        MEANWHILE.clear()
        await ann.change(source, views=8)

    MEANWHILE.append(spend)
    await call(store, ann, source, target)
    assert RUNS == ["transfer", "transfer"]
    assert [(await ann.get(Note, note.id)).views for note in (source, target)] == [5, 3]


async def test_after_six_runs_it_answers_the_conflict(store: Store, ann: MemberSession) -> None:
    source, target = await notes_with(ann)

    async def always() -> None:
        await ann.change(await ann.get(Note, source.id), views=50 + len(RUNS))

    MEANWHILE.append(always)
    with pytest.raises(Conflict):
        await call(store, ann, source, target)
    assert len(RUNS) == 6 and (await ann.get(Note, target.id)).views == 0


async def test_a_list_that_has_grown_makes_it_run_again(store: Store, ann: MemberSession) -> None:
    async def another() -> None:
        MEANWHILE.clear()
        await ann.create(Note(title="new", status="sent"))

    MEANWHILE.append(another)
    assert (await store.action(ann.caller, "desk.count", {}, mutation_id="c1"))["reply"] == 1
    assert RUNS == ["count", "count"]


async def test_another_collection_does_not(store: Store, ann: MemberSession) -> None:
    async def elsewhere() -> None:
        MEANWHILE.clear()
        await ann.create(Task(title="t", owner_id=ann.actor_id))

    MEANWHILE.append(elsewhere)
    await store.action(ann.caller, "desk.count", {}, mutation_id="c1")
    assert RUNS == ["count"]


async def test_one_that_only_reads_leaves_no_entry(store: Store, ann: MemberSession) -> None:
    await notes_with(ann)
    head = (await store.pull(ann.caller, cursor=None)).head
    answer = await store.action(ann.caller, "desk.titles", {}, mutation_id="x")
    assert [record["fields"]["title"] for record in answer["reply"]] == ["b", "a"]
    assert (await store.pull(ann.caller, cursor=None)).head == head


async def test_one_that_only_reads_may_not_write(store: Store, ann: MemberSession) -> None:
    with pytest.raises(Forbidden):
        await store.action(ann.caller, "desk.wrong", {}, mutation_id="x")


async def test_an_action_may_be_for_some_roles_alone(store: Store, ann: MemberSession) -> None:
    secret = await ann.create(Secret(label="x"))
    with pytest.raises(Forbidden):
        await store.action(ann.caller, "desk.peek", {"id": secret.id}, mutation_id="p1")


async def test_it_reads_with_the_callers_rights(store: Store, ann: MemberSession) -> None:
    ben = await store.member("acme", "ben@example.org", roles=set())
    workshop = await (await store.member("acme", "guide@example.org", roles={"facilitator"})).create(Workshop(title="w", leader_id="x"))
    with pytest.raises(NotFound):
        await store.action(ben.caller, "desk.transfer", {"source": workshop.id, "target": workshop.id, "views": 1}, mutation_id="t")


async def test_a_text_is_merged_from_the_version_it_names_or_ones_own_last_save(store: Store, ann: MemberSession) -> None:
    ben = await store.member("acme", "ben@example.org", roles=set())
    note = await ann.create(Note(title="a", body="one"))
    await ben.change(await ben.get(Note, note.id), body="zero one")
    await store.action(ann.caller, "desk.draft", {"id": note.id, "body": "one two"}, mutation_id="d1")
    assert (await ann.get(Note, note.id)).body == "zero one two"
    answer = await store.action(ann.caller, "desk.draft", {"id": note.id, "body": "one three", "base": note.position}, mutation_id="d2")
    assert answer["reply"]["outcome"] == "merged"


@pytest.mark.parametrize("arguments", [{}, {"source": 1, "target": "x", "views": 1}, {"source": "x", "target": "y", "views": "many"}])
async def test_arguments_of_another_kind_are_invalid(store: Store, ann: MemberSession, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        await store.action(ann.caller, "desk.transfer", arguments, mutation_id="t")


async def test_pydantic_arguments_name_what_is_wrong(store: Store, ann: MemberSession) -> None:
    with pytest.raises(InvalidValue) as error:
        await store.action(ann.caller, "desk.several", {"title": "x", "times": "often"}, mutation_id="t")
    assert error.value.field == "/times"


@pytest.mark.parametrize("name", ["desk.nothing", "nobody.transfer", "desk.", ".transfer"])
async def test_an_unknown_action_is_not_found(store: Store, ann: MemberSession, name: str) -> None:
    with pytest.raises(NotFound):
        await store.action(ann.caller, name, {}, mutation_id="t")


async def test_the_typed_session_calls_it(store: Store, ann: MemberSession) -> None:
    source, target = await notes_with(ann)
    assert (await ann.call("desk.transfer", source=source.id, target=target.id, views=1))["left"] == 9


async def test_an_outbox_may_queue_a_call_with_its_own_device(store: Store, ann: MemberSession) -> None:
    source, target = await notes_with(ann)
    arguments = {"source": source.id, "target": target.id, "views": 1}
    first = await store.action(ann.caller, "desk.transfer", arguments, mutation_id="m", device_id="tablet")
    again = await store.action(ann.caller, "desk.transfer", arguments, mutation_id="m", device_id="tablet")
    other = await store.action(ann.caller, "desk.transfer", arguments, mutation_id="m", device_id="phone")
    assert (first["outcome"], again["outcome"], other["outcome"]) == ("applied", "duplicate", "applied")


# -- declaring -------------------------------------------------------------------------------------------------------------


def test_mistakes_in_declarations_are_told_at_start() -> None:
    async def two(ctx: Context, args: int) -> None: ...
    async def one(ctx: Context) -> None: ...
    def plain(ctx: Context, args: dict[str, Any]) -> None: ...

    for make in (lambda: action("Bad Name")(two), lambda: action("x")(two), lambda: action("x")(one), lambda: action("x")(plain),
                  # type: ignore[arg-type,return-value]
                 lambda: App("Bad Name"), lambda: App("a", actions=[count, count]), lambda: App("a",
                                                                                                routes=[route("GET", "/api/x", "nothing")]),
                 lambda: route("GET", "/elsewhere", count)):
        with pytest.raises(DeclarationError):
            make()


async def test_an_application_is_opened_by_its_modules_name(tmp_path: Path) -> None:
    async with open_store(None, apps=["tests.engine.test_actions:DESK"]) as store:
        assert "desk" in store.apps
    for place in ("tests.engine.test_actions", "tests.engine.nothing", "tests.engine.test_actions:RUNS"):
        with pytest.raises(DeclarationError):
            async with open_store(None, apps=[place]):
                pass


@action("first_task")
async def first_task(ctx: Context, args: dict[str, Any]) -> list[Any]:
    """What a list showed is in the reply, and in nothing else."""
    ctx.create(Note(title="asked"))
    return [task.title for task in await ctx.list(Task)]


async def test_a_repeated_call_shows_nothing_of_a_list_that_may_no_longer_be_seen(tmp_path: Path) -> None:
    async with open_store(None, apps=[App("desk", records=ALL, actions=[first_task])]) as store:
        ann = await store.member("acme", "ann@example.org")
        ben = await store.member("acme", "ben@example.org", roles=set())
        task = await ann.create(Task(title="a title", owner_id=ben.actor_id))
        assert (await store.action(ben.caller, "desk.first_task", {}, mutation_id="m"))["reply"] == ["a title"]
        assert (await store.action(ben.caller, "desk.first_task", {}, mutation_id="m"))["outcome"] == "duplicate"
        await ann.change(task, owner_id=ann.actor_id)
        with pytest.raises(Forbidden):
            await store.action(ben.caller, "desk.first_task", {}, mutation_id="m")
