"""A device pushes: P1 (an acknowledged save is there), P2 (sent twice, it takes effect once), P5 (every save has a true answer)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from holdfast.core.errors import Forbidden, LimitExceeded, Malformed
from holdfast.core.ops import AddOp, CreateOp, SetOp
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from holdfast.engine.work import Upkeep
from tests.engine.world import Device, Note

NewId = Callable[[], str]
Devices = Callable[..., Device]


async def test_a_save_is_acknowledged_as_committed_with_its_place_in_the_log(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    result = await device(ann).create("notes", new_id(), {"title": "Milk"})
    assert (result.outcome, result.receipt, result.rev) == ("applied", "committed", result.seq)
    assert result.position is not None and result.position.startswith(f"{result.seq}.")


async def test_what_was_acknowledged_is_read_back(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    note = new_id()
    laptop = device(ann)
    await laptop.create("notes", note, {"title": "Milk", "body": "two"})
    await laptop.type("notes", note, "/body", 3, 0, " litres")
    assert (await ann.get(Note, note)).body == "two litres"


async def test_seqs_have_no_gaps_and_the_reply_names_the_head(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, note = device(ann), new_id()
    reply = await laptop.push(laptop.mutation("notes", note, CreateOp({"title": "a"})), *(
        laptop.mutation("notes", note, AddOp("/views", 1)) for _ in range(4)))
    seqs = [result.seq for result in reply.results]
    first = seqs[0]
    assert first is not None and seqs == list(range(first, first + 5)) and reply.head == first + 4


async def test_the_same_mutation_again_gets_the_first_outcome(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, note = device(ann), new_id()
    await laptop.create("notes", note, {"title": "a"})
    add = laptop.mutation("notes", note, AddOp("/views", 5))
    first = (await laptop.push(add)).results[0]
    again = (await laptop.push(add)).results[0]
    assert (again.outcome, again.first_outcome, again.position) == ("duplicate", "applied", first.position)
    assert (await ann.get(Note, note)).views == 5


async def test_a_mutation_twice_in_one_push_takes_effect_once(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, note = device(ann), new_id()
    await laptop.create("notes", note, {"title": "a"})
    add = laptop.mutation("notes", note, AddOp("/views", 5))
    assert [result.outcome for result in (await laptop.push(add, add)).results] == ["applied", "duplicate"]
    assert (await ann.get(Note, note)).views == 5


async def test_an_id_with_other_content_is_refused(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, note = device(ann), new_id()
    await laptop.create("notes", note, {"title": "a"})
    await laptop.send("notes", note, AddOp("/views", 5), mutation_id="m")
    result = await laptop.send("notes", note, AddOp("/views", 6), mutation_id="m")
    assert result.outcome == "refused" and result.error is not None and result.error.code == "id_reused"


async def test_two_devices_may_use_the_same_mutation_id(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    results = [await device(ann).create("notes", new_id(), {"title": "a"}, mutation_id="m") for _ in range(2)]
    assert [result.outcome for result in results] == ["applied", "applied"]


@pytest.mark.parametrize("raw", [
    b"", b"{", b"[]", b"17", b'{"mutation_id": 3}', b'{"mutation_id": "m", "collection": "nothing", "record_id": "x", "ops": []}',
    b'{"a": 1, "a": 2}', b"\xff\xfe", b'{"mutation_id": "m", "mutation_id": "m"}', b"null", b'"' + b"x" * 100 + b'"',
])
async def test_a_malformed_mutation_is_refused_alone(ann: MemberSession, device: Devices, new_id: NewId, raw: bytes) -> None:
    laptop = device(ann)
    good = laptop.mutation("notes", new_id(), CreateOp({"title": "a"}))
    reply = await laptop.push(raw, good, raw)
    assert [result.outcome for result in reply.results] == ["refused", "applied", "refused"]
    assert reply.results[0].error is not None and reply.results[0].error.code in ("malformed", "limit")


async def test_an_unreadable_base_or_stamp_is_refused_alone(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop = device(ann)
    bad = [laptop.mutation("notes", new_id(), CreateOp({"title": "a"}), base="yesterday"),
           laptop.mutation("notes", new_id(), CreateOp({"title": "a"}), edited_at="noon")]
    assert [result.outcome for result in (await laptop.push(*bad)).results] == ["refused", "refused"]


async def test_a_push_over_its_limits_is_turned_away_whole(ann: MemberSession, device: Devices, store: Store, new_id: NewId) -> None:
    laptop, most = device(ann), store.schema.limits.push_mutations_max
    many = [laptop.mutation("notes", new_id(), CreateOp({"title": "a"})) for _ in range(most + 1)]
    with pytest.raises(LimitExceeded):
        await laptop.push(*many)
    assert (await laptop.push(*many[:most])).results[-1].outcome == "applied"


async def test_a_mutation_over_a_mebibyte_is_refused_alone(ann: MemberSession, device: Devices, store: Store) -> None:
    laptop = device(ann)
    most = store.schema.limits.mutation_bytes_max
    result = (await laptop.push(b'{"x": "' + b"a" * most + b'"}')).results[0]
    assert result.error is not None and result.error.code == "limit"


async def test_a_device_id_that_is_none_is_malformed(store: Store, ann: MemberSession) -> None:
    with pytest.raises(Malformed):
        await store.push(ann.caller, "!" + ann.actor_id, [])


async def test_a_device_belongs_to_the_person_who_used_it_first(ann: MemberSession, ben: MemberSession, device: Devices,
                                                                new_id: NewId) -> None:
    await device(ann, "tablet").create("notes", new_id(), {"title": "a"})
    with pytest.raises(Forbidden):
        await device(ben, "tablet").create("notes", new_id(), {"title": "b"})


async def test_somebody_who_is_no_member_saves_nothing(store: Store, ann: MemberSession, ben: MemberSession, device: Devices,
                                                       new_id: NewId) -> None:
    await store.accounts.remove_member("acme", ben.actor_id)
    with pytest.raises(Forbidden):
        await device(ben).create("notes", new_id(), {"title": "b"})


async def test_pushes_at_once_are_all_answered_in_their_order(ann: MemberSession, device: Devices, new_id: NewId, store: Store) -> None:
    laptop = device(ann)
    note = new_id()
    await laptop.create("notes", note, {"title": "a"})
    mutations = [laptop.mutation("notes", note, AddOp("/views", 1)) for _ in range(40)]
    tasks = [store.runtime.spawn(laptop.push(one), name="push") for one in mutations]
    results = [(await task).results[0] for task in tasks]
    assert [result.mutation_id for result in results] == [one.mutation_id for one in mutations]
    assert (await ann.get(Note, note)).views == 40


async def test_a_member_without_the_right_is_held_not_lost(ben: MemberSession, ann: MemberSession, device: Devices, new_id: NewId) -> None:
    secret = new_id()
    await device(ann).create("secrets", secret, {"label": "safe"})
    result = await device(ben).set("secrets", secret, "/label", "mine")
    assert (result.outcome, result.receipt, result.rev) == ("held", "held", None)


async def test_a_tokens_narrower_roles_only_take_away(store: Store, ann: MemberSession, new_id: NewId) -> None:
    narrowed = Device(store, ann, "robot")
    narrowed.caller = type(ann.caller)(tenant_id="acme", actor_id=ann.actor_id, narrowed=frozenset({"robot"}))
    assert (await narrowed.create("secrets", new_id(), {"label": "x"})).outcome == "held"
    widened = Device(store, ann, "robot2")
    widened.caller = type(ann.caller)(tenant_id="acme", actor_id=ann.actor_id, narrowed=frozenset({"owner", "robot"}))
    assert (await widened.create("secrets", new_id(), {"label": "x"})).outcome == "applied"


async def test_an_unknown_organisation_is_forbidden_like_any_other(store: Store, ann: MemberSession) -> None:
    caller = type(ann.caller)(tenant_id="nobody", actor_id=ann.actor_id)
    with pytest.raises(Forbidden):
        await store.get(caller, "notes", "00000000-0000-7000-8000-000000000001")


async def test_setting_a_place_twice_in_one_mutation_keeps_the_order(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, note = device(ann), new_id()
    await laptop.create("notes", note, {"title": "a"})
    await laptop.send("notes", note, SetOp("/title", "b"), SetOp("/title", "c"))
    assert (await ann.get(Note, note)).title == "c"


async def test_a_push_of_too_many_bytes_is_turned_away_whole(ann: MemberSession, device: Devices, store: Store) -> None:
    most = store.schema.limits.push_bytes_max
    quarter = b'{"x": "' + b"a" * (most // 4 - 9) + b'"}'
    with pytest.raises(LimitExceeded):
        await device(ann).push(*[quarter] * 4, b"[]" * 20)
    assert {result.outcome for result in (await device(ann).push(*[quarter] * 4)).results} == {"refused"}


async def test_a_receipt_grows_with_the_backup(ann: MemberSession, device: Devices, store: Store, new_id: NewId) -> None:
    laptop = device(ann)
    create = laptop.mutation("notes", new_id(), CreateOp({"title": "a"}))
    first = (await laptop.push(create)).results[0]
    assert first.seq is not None
    for seq, receipt in ((first.seq - 1, "committed"), (first.seq, "backed_up")):
        await store.gate.submit(Upkeep(settings=[("acme", "backed_up_seq", seq)]))
        assert (await laptop.push(create)).results[0].receipt == receipt
        assert (await laptop.pull()).backed_up_seq == seq


async def test_what_waits_is_never_called_backed_up(ann: MemberSession, device: Devices, store: Store, new_id: NewId) -> None:
    laptop = device(ann)
    held = laptop.mutation("notes", new_id(), SetOp("/title", "nothing there"))
    result = (await laptop.push(held)).results[0]
    await store.gate.submit(Upkeep(settings=[("acme", "backed_up_seq", result.seq)]))
    assert (await laptop.push(held)).results[0].receipt == "held"
