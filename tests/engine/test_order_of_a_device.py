"""A device's mutations of one record form a line: P2 (once), P3 (an order that is broken is told, never guessed)."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.core.entry import ForkedFrom
from holdfast.core.ops import AddOp, CreateOp, SetOp, SpliceOp
from holdfast.engine.session import MemberSession
from tests.engine.world import Device, Note

NewId = Callable[[], str]
Devices = Callable[..., Device]


def code(result: object) -> str | None:
    error = getattr(result, "error", None)
    return None if error is None else error.code


async def test_a_mutation_whose_predecessor_has_not_arrived_is_out_of_order(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, note = device(ann), new_id()
    await laptop.create("notes", note, {"title": "a"})
    lost = laptop.mutation("notes", note, AddOp("/views", 1))
    result = await laptop.send("notes", note, AddOp("/views", 2))
    assert (result.outcome, code(result)) == ("refused", "out_of_order")
    assert (await laptop.push(lost)).results[0].outcome == "applied"


async def test_sent_again_in_order_both_are_applied(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, note = device(ann), new_id()
    await laptop.create("notes", note, {"title": "a"})
    first, second = laptop.mutation("notes", note, AddOp("/views", 1)), laptop.mutation("notes", note, AddOp("/views", 2))
    assert [code(result) for result in (await laptop.push(second, first)).results] == ["out_of_order", None]
    assert [result.outcome for result in (await laptop.push(first, second)).results] == ["duplicate", "applied"]


async def test_one_stuck_record_does_not_block_another(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, one, two = device(ann), new_id(), new_id()
    reply = await laptop.push(laptop.mutation("notes", one, AddOp("/views", 1), after="gone"),
                              laptop.mutation("notes", two, CreateOp({"title": "b"})))
    assert [result.outcome for result in reply.results] == ["refused", "applied"]


async def test_a_copied_outbox_is_forked(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, note = device(ann, "laptop"), new_id()
    created = await laptop.create("notes", note, {"title": "a"})
    await laptop.send("notes", note, AddOp("/views", 1))
    copy = device(ann, "laptop")
    result = await copy.send("notes", note, AddOp("/views", 1), after=created.mutation_id, mutation_id="of-the-copy")
    assert (result.outcome, code(result)) == ("refused", "forked")


async def test_a_line_that_starts_anew_is_forked(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, note = device(ann), new_id()
    await laptop.create("notes", note, {"title": "a"})
    assert code(await laptop.send("notes", note, AddOp("/views", 1), after=None)) == "forked"


async def test_a_forked_device_goes_on_in_the_context_of_the_old_one(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    old, note = device(ann, "old"), new_id()
    await old.create("notes", note, {"title": "a", "body": "0123456789"})
    await old.catch_up()
    typed = await old.type("notes", note, "/body", 0, 0, "abc")
    copy = device(ann, "copy")
    copy.base = dict(old.base)
    result = await copy.type("notes", note, "/body", 6, 0, "!", after=None, forked_from=ForkedFrom("old", typed.mutation_id))
    assert result.outcome == "applied"
    assert (await ann.get(Note, note)).body == "abc012!3456789"
    await copy.type("notes", note, "/body", 7, 0, "?")
    assert (await ann.get(Note, note)).body == "abc012!?3456789"


async def test_the_server_has_no_line(ann: MemberSession) -> None:
    note = await ann.create(Note(title="a"))
    for _ in range(3):
        note = await ann.change(note, views=note.views + 1)
    assert note.views == 3


async def test_an_id_used_again_for_another_record_is_refused_and_spares_its_neighbours(
        ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, one, two = device(ann), new_id(), new_id()
    await laptop.create("notes", one, {"title": "a"}, mutation_id="m")
    reply = await laptop.push(
        laptop.mutation("notes", one, SetOp("/title", "b")),
        laptop.mutation("notes", two, CreateOp({"title": "c"}), mutation_id="m"),
        laptop.mutation("notes", new_id(), CreateOp({"title": "d"})))
    assert [(result.outcome, code(result)) for result in reply.results] == [("applied", None), ("refused", "id_reused"), ("applied", None)]


async def test_typing_on_before_an_answer_comes_keeps_the_order_of_the_keys(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, note = device(ann), new_id()
    mutations = [laptop.mutation("notes", note, CreateOp({"title": "a"}))]
    mutations += [laptop.mutation("notes", note, SpliceOp("/body", [(at, 0, letter)])) for at, letter in enumerate("holdfast")]
    await laptop.push(*mutations)
    assert (await ann.get(Note, note)).body == "holdfast"
