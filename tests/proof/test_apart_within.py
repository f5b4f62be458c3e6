"""Attacks on the borders within one organisation that need a story of their own: coming into view and out of it, keys, forks, what is
assigned, what a narrower token may do. Defends P4, and P3 where an attack would overwrite somebody's work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from holdfast.engine.api import Caller, Resolution
from tests.proof.world import World, named_id, world


@pytest.fixture
async def clinic() -> AsyncIterator[World]:
    async with world() as made:
        yield made


async def patient(clinic: World, who: str = "pia", **fields: Any) -> str:
    made = await clinic.push(who, "patients", who, {"op": "create", "value": {"person": clinic.actors[who], **fields}})
    assert made["outcome"] == "applied"
    return named_id(who)


async def status(clinic: World, who: str, method: str, url: str, body: Any = None) -> int:
    return (await clinic.call(who, method, url, body)).status_code


# -- in and out of view ----------------------------------------------------------------------------------------------------
async def test_a_guest_who_is_shown_out_keeps_no_way_to_the_record_or_what_hangs_on_it(clinic: World) -> None:
    await clinic.push("pia", "circles", "c", {"op": "create", "value": {"lead": clinic.actors["pia"], "guest": clinic.actors["quin"]}})
    await clinic.push("pia", "meetings", "m", {"op": "create", "value": {"circle": named_id("c"), "minutes": "before"}})
    seen = await clinic.look("quin", "meetings", "m")
    cursor = (await clinic.ok("quin", "GET", "/v1/pull"))["cursor"]
    await clinic.look("pia", "circles", "c")
    await clinic.push("pia", "circles", "c", {"op": "set", "path": "/guest", "value": None})
    await clinic.look("pia", "meetings", "m")
    await clinic.push("pia", "meetings", "m", {"op": "set", "path": "/minutes", "value": "after they left"})
    pulled = await clinic.ok("quin", "GET", f"/v1/pull?cursor={cursor}")
    assert {one["id"] for one in pulled["forget"]} == {named_id("c"), named_id("m")}
    assert pulled["changes"] == [] == pulled.get("records", [])
    for place in (f"circles/{named_id('c')}", f"meetings/{named_id('m')}"):
        for rest in ("", "/history", f"/at/{seen['rev']}", f"/diff?from={seen['rev']}", "/why?path=/minutes"):
            assert await status(clinic, "quin", "GET", f"/v1/records/{place}{rest}") == 404
    texts = [(await clinic.call("quin", "GET", url)).text for url in (
        "/v1/snapshot", "/v1/activity", "/v1/records/meetings", "/v1/records/circles?include=meetings:count", "/v1/pull", "/v1/inbox")]
    assert not [text for text in texts if named_id("m") in text or "after they left" in text]


async def test_what_followed_from_ones_change_in_a_record_one_may_not_see_is_not_in_ones_activity(clinic: World) -> None:
    """Handing a patient over rewrites the visits' hidden columns, on behalf of who did it."""
    await patient(clinic, "quin")
    visit = (await clinic.ok("dora", "POST", "/v1/records/visits", {"fields": {"patient": named_id("quin"), "day": 3}}))["record"]["id"]
    await clinic.look("quin", "patients", "quin")
    given = await clinic.push("quin", "patients", "quin", {"op": "set", "path": "/person", "value": clinic.actors["pia"]})
    assert given["outcome"] in ("applied", "held"), given
    if given["outcome"] == "applied":
        assert visit not in (await clinic.call("quin", "GET", "/v1/activity")).text


# -- keys ------------------------------------------------------------------------------------------------------------------
async def test_two_people_who_use_one_idempotency_key_make_two_records(clinic: World) -> None:
    made = []
    for who in ("pia", "quin"):
        answer = await clinic.call(who, "POST", "/v1/records/notices", {"fields": {"title": who}}, headers={"idempotency-key": "1"})
        assert answer.status_code == 201 and answer.json()["record"]["fields"]["title"] == who
        made.append(answer.json()["record"]["id"])
    assert made[0] != made[1]


async def test_anothers_idempotency_key_is_no_way_to_his_answer(clinic: World) -> None:
    body = {"fields": {"person": clinic.actors["pia"], "phone": "+49-555"}}
    first = await clinic.call("pia", "POST", "/v1/records/patients", body, headers={"idempotency-key": "mine"})
    again = await clinic.call("quin", "POST", "/v1/records/patients", body, headers={"idempotency-key": "mine"})
    assert first.status_code == 201 and again.status_code == 403 and "+49" not in again.text


async def test_a_natural_key_that_is_taken_tells_that_and_nothing_else(clinic: World) -> None:
    """The exception that promise 4 names: the same answer for a visit that quin may not see, whatever it holds."""
    await patient(clinic)
    for day in (1, 2):
        await clinic.ok("dora", "POST", "/v1/records/visits", {"fields": {"patient": named_id("pia"), "day": day, "findings": f"f{day}"}})
    told = []
    for day in (1, 2):
        answer = await clinic.call("quin", "POST", "/v1/records/visits", {"fields": {"patient": named_id("pia"), "day": day}})
        problem = {name: value for name, value in answer.json().items() if name != "request_id"}
        told.append((answer.status_code, problem))
    assert told[0] == told[1] and told[0][0] == 404


async def test_a_unique_value_that_is_taken_does_not_tell_by_what(clinic: World) -> None:
    await clinic.ok("olga", "POST", "/v1/records/invoices", {"fields": {"label": "hidden", "account": "A-1"}})
    answer = await clinic.call("nora", "POST", "/v1/records/invoices", {"fields": {"account": "A-1"}})
    free = await clinic.call("nora", "POST", "/v1/records/invoices", {"fields": {"account": "A-2"}})
    assert "hidden" not in answer.text and answer.status_code in (403, 409) and free.status_code == 403


# -- forks, devices --------------------------------------------------------------------------------------------------------
async def test_a_device_that_says_it_was_forked_from_anothers_gets_none_of_his_context(clinic: World) -> None:
    """Else it would overwrite, unasked, what the other has decided."""
    await clinic.push("dora", "notices", "n", {"op": "create", "value": {"title": "t"}})
    theirs = await clinic.push("dora", "notices", "n", {"op": "set", "path": "/fee", "value": "10.00"})
    forked = {"device_id": "dev-dora", "mutation_id": theirs["mutation_id"]}
    mine = await clinic.push("quin", "notices", "n", {"op": "set", "path": "/fee", "value": "99.00"}, device="copied", forked_from=forked)
    assert mine["outcome"] == "held", mine
    again = await clinic.push("quin", "notices", "n", {"op": "set", "path": "/fee", "value": "98.00"}, device="copied")
    assert again["outcome"] == "held", again
    assert (await clinic.look("olga", "notices", "n"))["fields"]["fee"] == "10.00"


async def test_nobody_saves_or_reports_under_anothers_device(clinic: World) -> None:
    await patient(clinic)
    body = {"device_id": "dev-pia", "mutations": [{"mutation_id": "x", "collection": "notices", "record_id": named_id("n"),
                                                   "ops": [{"op": "create", "value": {"title": "x"}}]}]}
    assert await status(clinic, "quin", "POST", "/v1/push", body) == 403
    assert await status(clinic, "quin", "POST", "/v1/devices/report", {"device_id": "dev-pia", "pending": 9}) == 403
    assert await status(clinic, "zoe", "POST", "/v1/devices/report", {"device_id": "dev-pia", "pending": 9}) == 204    # hers, elsewhere


# -- the inbox -------------------------------------------------------------------------------------------------------------
async def question(clinic: World) -> str:
    """A question about pia's fee, in pia's inbox."""
    await patient(clinic, fee="1.00", notes="private notes")
    await clinic.look("pia", "patients", "pia")
    await clinic.look("dora", "patients", "pia")
    await clinic.push("dora", "patients", "pia", {"op": "set", "path": "/fee", "value": "4711.00"})
    held = await clinic.push("pia", "patients", "pia", {"op": "set", "path": "/fee", "value": "815.00"})
    item: str = held["inbox_id"]
    return item


async def test_who_is_assigned_an_item_of_a_record_he_may_not_see_gets_no_values(clinic: World) -> None:
    item = await question(clinic)
    await clinic.ok("olga", "POST", f"/v1/inbox/{item}", {"assign": clinic.actors["quin"]})
    for url in (f"/v1/inbox/{item}", "/v1/inbox"):
        answer = await clinic.call("quin", "GET", url)
        assert answer.status_code == 200 and item in answer.text
        assert not [word for word in ("815.00", "4711.00", "private") if word in answer.text], answer.text
    for body in ({"apply": True}, {"value": {"/fee": "1.00"}}):
        assert await status(clinic, "quin", "POST", f"/v1/inbox/{item}", body) in (403, 404)
    assert (await clinic.look("olga", "patients", "pia"))["fields"]["fee"] == "4711.00"


async def test_an_administrators_pages_of_the_inbox_do_not_count_what_he_may_not_see(clinic: World) -> None:
    await question(clinic)
    for number in range(30):
        await clinic.push("pia", "patients", "pia", {"op": "set", "path": "/fee", "value": f"{number}.00"}, device=f"pia-{number}")
    page = await clinic.ok("mona", "GET", "/v1/inbox?limit=1")
    assert page == {"items": [], "cursor": None}


# -- narrower tokens -------------------------------------------------------------------------------------------------------
async def test_a_token_without_roles_does_what_its_owner_may_without_them_and_no_more(clinic: World) -> None:
    await patient(clinic)
    await clinic.ok("olga", "POST", "/v1/records/invoices", {"fields": {"label": "x"}})
    assert (await clinic.ok("narrow", "GET", "/v1/records/invoices"))["records"] == []
    assert await status(clinic, "narrow", "POST", "/v1/records/invoices", {"fields": {"label": "y"}}) == 403
    assert await status(clinic, "narrow", "GET", f"/v1/records/patients/{named_id('pia')}") == 404
    assert await status(clinic, "narrow", "POST", "/v1/actions/clinic.fail", {}) == 403
    assert (await clinic.ok("narrow", "GET", "/v1/me"))["roles"] == []
    held = await clinic.push("olga", "invoices", "late", {"op": "create", "value": {"label": "z"}}, device="olga-phone")
    assert held["outcome"] == "applied"
    assert await status(clinic, "narrow", "PATCH", f"/v1/records/members/{clinic.actors['mona']}", {"fields": {"roles": ["owner"]}}) == 404


async def test_what_is_redone_for_somebody_later_is_judged_by_what_he_may_then(clinic: World) -> None:
    """A push by a narrow token waits for a patient that only the full roles see: its arrival does not apply it."""
    waiting = await clinic.call("narrow", "POST", "/v1/push", {"device_id": "narrow-phone", "mutations": [
        {"mutation_id": "w", "collection": "notices", "record_id": named_id("n"),
         "ops": [{"op": "create", "value": {"title": "t", "patient": named_id("pia")}}]}]})
    assert waiting.json()["results"][0]["outcome"] == "held"
    await patient(clinic)
    assert await status(clinic, "narrow", "GET", f"/v1/records/notices/{named_id('n')}") in (200, 404)


# -- members ---------------------------------------------------------------------------------------------------------------
async def test_a_member_sees_no_other_member_and_changes_no_roles(clinic: World) -> None:
    text = (await clinic.call("quin", "GET", "/v1/records/members?limit=200")).text
    assert "quin@clinic.example" in text and not [name for name in ("pia@", "olga@", "zoe@", "rolf@") if name in text]
    me = f"/v1/records/members/{clinic.actors['quin']}"
    for body in ({"fields": {"roles": ["owner"]}}, {"ops": [{"op": "include", "path": "/roles", "items": ["owner"]}]}):
        assert await status(clinic, "quin", "PATCH", me, body) == 403
    held = await clinic.push("quin", "members", clinic.actors["quin"], {"op": "include", "path": "/roles", "items": ["owner"]})
    assert held["outcome"] == "held" and (await clinic.ok("quin", "GET", "/v1/me"))["roles"] == ["participant"]
    resolved = await clinic.call("quin", "POST", f"/v1/inbox/{held['inbox_id']}", {"apply": True})
    assert resolved.status_code == 403 and (await clinic.ok("quin", "GET", "/v1/me"))["roles"] == ["participant"]


async def test_an_administrator_makes_nobody_an_owner_by_any_way(clinic: World) -> None:
    me = clinic.actors["mona"]
    place = f"/v1/records/members/{me}"
    ways = [("PATCH", place, {"fields": {"roles": ["admin", "owner"]}}),
            ("PATCH", place, {"ops": [{"op": "include", "path": "/roles", "items": ["owner"]}]}),
            ("DELETE", f"/v1/records/members/{clinic.actors['olga']}", None)]
    for method, url, body in ways:
        assert await status(clinic, "mona", method, url, body) == 403
    pushed = await clinic.push("mona", "members", me, {"op": "include", "path": "/roles", "items": ["owner"]})
    assert pushed["outcome"] in ("held", "refused")
    created = await clinic.push("mona", "members", "new", {"op": "create", "value": {"display_name": "x", "roles": ["owner"]}})
    assert created["outcome"] in ("held", "refused")
    # Olga makes her an owner and takes it back: the version in between is no way to it.
    await clinic.ok("olga", "PATCH", place, {"fields": {"roles": ["admin", "owner"]}})
    rev = (await clinic.ok("olga", "GET", place))["rev"]
    await clinic.ok("olga", "PATCH", place, {"fields": {"roles": ["admin"]}})
    assert await status(clinic, "mona", "POST", f"{place}/restore", {"rev": rev}) == 403
    assert await status(clinic, "mona", "POST", f"{place}/undo", {"seq": (await clinic.ok("mona", "GET", place))["rev"]}) == 403
    assert (await clinic.ok("mona", "GET", "/v1/me"))["roles"] == ["admin"]


async def test_the_engine_judges_a_caller_by_the_member_alone(clinic: World) -> None:
    """A caller of another tenant, of nobody, and narrowed to roles it does not have."""
    await patient(clinic)
    for caller in (Caller(tenant_id="other", actor_id=clinic.actors["dora"]), Caller(tenant_id="acme", actor_id=clinic.actors["zoe"]),
                   Caller(tenant_id="acme", actor_id="nobody"), Caller(tenant_id="acme", actor_id=clinic.actors["quin"],
                                                                      narrowed=frozenset({"doctor", "owner"}))):
        with pytest.raises(Exception, match=r"no such record|not \(any longer\) a member"):
            await clinic.store.get(caller, "patients", named_id("pia"))
        with pytest.raises(Exception, match=r"no such|not \(any longer\) a member|Only an owner"):
            await clinic.store.erase(caller, "patients", named_id("pia"), reason="x")
        with pytest.raises(Exception, match=r"no such|not \(any longer\) a member"):
            await clinic.store.resolve(caller, "1", Resolution(how="discard"))


async def test_metrics_name_nobody(clinic: World) -> None:
    await patient(clinic)
    text = (await clinic.call(None, "GET", "/metrics")).text
    hidden = [*clinic.actors.values(), "acme", "other", named_id("pia"), "pia"]
    assert "holdfast_mutations" in text and not [name for name in hidden if name in text]
