"""Each documented error is provoked once, by the way on which people meet it, and is what the document says: code, status, whether to try
again. One without a provocation fails. Defends P5: whoever is not answered "saved" is answered why."""

from __future__ import annotations

import ast
import asyncio
import os
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest

from holdfast import Json, Limits, Money, Record, merge, open_store, tenant
from holdfast.core.errors import HoldfastError
from holdfast.engine.keeping import Declarations, opened_for_writing
from holdfast.server.app import asgi_app
from holdfast.server.problems import all_codes
from holdfast.server.settings import Settings
from holdfast.storage.protocol import Head, Writes
from holdfast.testing.disk import SimulatedDisk
from tests.core.corpus import PROJECT
from tests.proof.clinic import app as clinic_app
from tests.proof.world import PASSWORD, World, named_id, world
from tests.server.serving import serving

Provocation = Callable[[Path], Awaitable[HoldfastError | httpx.Response | dict[str, Any]]]
"""What comes back: the error itself, an answer, or the problem in a push's result."""

PROVOKED: dict[str, Provocation] = {}
PARENTS = {"error", "bad_request"}
"""Classes of the tree that only gather others: a test sees to it that nothing raises them."""


def provokes(code: str) -> Callable[[Provocation], Provocation]:
    def keep(function: Provocation) -> Provocation:
        assert code not in PROVOKED
        PROVOKED[code] = function
        return function

    return keep


class Page(Record, collection="pages", access=tenant):
    title: str = ""
    price: Annotated[Money, merge.ask] | None = None


class PageWithMore(Record, collection="pages", access=tenant, contract=2, upcasts={1: []}):
    title: str = ""
    price: Annotated[Money, merge.ask] | None = None
    more: Json = {}


# -- calls -----------------------------------------------------------------------------------------------------------------


def by_call(code: str, who: str | None, method: str, url: str, body: Any = None, **more: Any) -> None:
    @provokes(code)
    async def call(folder: Path) -> httpx.Response:
        async with world() as made:
            return await made.call(who, method, url, body, **more)


by_call("malformed", "olga", "POST", "/v1/push", raw=b"{", headers={"content-type": "application/json"})
by_call("invalid", "olga", "POST", "/v1/records/patients", {"fields": {"person": "x", "ward": "north"}})
by_call("limit", "olga", "POST", "/v1/push", {"device_id": "d", "mutations": [{}] * 501})
by_call("not_signed_in", None, "GET", "/v1/me")
by_call("forbidden", "nora", "POST", "/v1/records/invoices", {"fields": {}})
by_call("not_found", "nora", "GET", f"/v1/records/patients/{named_id('nobody')}")
by_call("method", "olga", "PUT", "/v1/me")
by_call("media_type", "olga", "POST", "/v1/push", raw=b"{}", headers={"content-type": "text/plain"})
by_call("internal", "olga", "POST", "/v1/actions/clinic.fail", {})


async def a_notice(made: World) -> str:
    record = (await made.ok("olga", "POST", "/v1/records/notices", {"fields": {"title": "t"}}))["record"]
    await made.ok("olga", "PATCH", f"/v1/records/notices/{record['id']}", {"fields": {"title": "u"}})
    return f"/v1/records/notices/{record['id']}"


@provokes("conflict")
async def nothing_to_undo(folder: Path) -> httpx.Response:
    async with world() as made:
        return await made.call("nora", "POST", f"{await a_notice(made)}/undo", {})


@provokes("stale")
async def an_older_version(folder: Path) -> httpx.Response:
    async with world() as made:
        return await made.call("olga", "PATCH", await a_notice(made), {"fields": {"title": "v"}}, headers={"if-match": '"1"'})


@provokes("id_reused")
async def a_key_for_two_calls(folder: Path) -> httpx.Response:
    async with world() as made:
        for title in ("one", "two"):
            answer = await made.call("olga", "POST", "/v1/records/notices", {"fields": {"title": title}}, headers={"idempotency-key": "k"})
        return answer


@provokes("rate")
async def a_password_tried_too_often(folder: Path) -> httpx.Response:
    async with world(limits=Limits(sign_in_attempts_per_minute_max=1)) as made:
        for _ in range(2):
            answer = await made.call(None, "POST", "/v1/auth/login", {"email": "olga@clinic.example", "password": PASSWORD})
        return answer


@provokes("overloaded")
async def more_than_the_queue_takes(folder: Path) -> httpx.Response:
    async with world(limits=Limits(queue_mutations_max=1)) as made:
        answers = await asyncio.gather(*(made.call("olga", "POST", "/v1/records/notices", {"fields": {"title": "t"}}) for _ in range(8)))
        return next(answer for answer in answers if answer.status_code == 503)


@provokes("unavailable")
async def a_store_that_does_not_answer(folder: Path) -> httpx.Response:
    async def never() -> None:
        raise TimeoutError

    async with world() as made:
        app = asgi_app(made.store, settings=Settings(port=0), ready=never)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://clinic.example") as client:
            return await client.get("/readyz")


@provokes("too_slow")
async def a_body_that_does_not_come(folder: Path) -> httpx.Response:
    settings = Settings(port=0, body_seconds_max=0.2)
    async with world(settings=settings) as made, serving(made.app, settings) as served:
        raw = await served.raw(b"POST /v1/push HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + made.tokens["olga"].encode()
                               + b"\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
    return httpx.Response(int(head.split(b" ")[1]), headers=[(name, value) for name, value in lines], content=body)


# -- pushes ----------------------------------------------------------------------------------------------------------------


async def second_of(who: str, **second: Any) -> dict[str, Any]:
    async with world() as made:
        await made.push(who, "notices", "n", {"op": "create", "value": {"title": "t"}})
        await made.push(who, "notices", "n", {"op": "set", "path": "/title", "value": "u"})
        result = await made.push(who, "notices", "n", {"op": "set", "path": "/title", "value": "v"}, **second)
        error: dict[str, Any] = result["error"]
        return error


@provokes("out_of_order")
async def a_predecessor_that_has_not_come(folder: Path) -> dict[str, Any]:
    return await second_of("olga", after="not yet seen".replace(" ", "-"))


@provokes("forked")
async def a_copied_outbox(folder: Path) -> dict[str, Any]:
    return await second_of("olga", after="dev-olga.2")


# -- embedded --------------------------------------------------------------------------------------------------------------


async def raised(work: Awaitable[Any]) -> HoldfastError:
    with pytest.raises(HoldfastError) as error:
        await work
    return error.value


async def opening(folder: Path | None, **options: Any) -> None:
    async with open_store(folder, **options):
        return


@provokes("held")
async def a_question(folder: Path) -> HoldfastError:
    async with open_store(records=[Page]) as store:
        ann, ben = await store.member("acme", "ann@example.org"), await store.member("acme", "ben@example.org")
        page = await ann.create(Page(title="t"))
        await ann.change(page, price="1.00")
        return await raised(ben.change(page, price="2.00"))


@provokes("state")
async def a_record_that_was_not_kept_yet(folder: Path) -> HoldfastError:
    async with open_store(records=[Page]) as store:
        ann = await store.member("acme", "ann@example.org")
        return await raised(ann.change(Page(title="t").with_id(named_id("page")), title="u"))


@provokes("declaration")
async def a_rule_that_names_no_field(folder: Path) -> HoldfastError:
    class Wrong(Record, collection="wrong", access=tenant, key=("nothing",)):
        title: str = ""

    return await raised(opening(None, records=[Wrong]))


@provokes("unsafe_settings")
async def a_key_that_is_none(folder: Path) -> HoldfastError:
    return await raised(opening(folder, apps=[clinic_app], master_keys="nonsense"))


@provokes("writer_stopped")
async def a_save_after_the_end(folder: Path) -> HoldfastError:
    async with open_store(records=[Page]) as store:
        ann = await store.member("acme", "ann@example.org")
    return await raised(ann.create(Page()))


@provokes("storage_locked")
async def a_second_writer(folder: Path) -> HoldfastError:
    async with open_store(folder, records=[Page]):
        return await raised(opening(folder, records=[Page]))


@provokes("storage_newer")
async def a_newer_contract(folder: Path) -> HoldfastError:
    await opening(folder, records=[PageWithMore])
    return await raised(opening(folder, records=[Page]))


@provokes("storage_outdated")
async def an_older_declaration(folder: Path) -> HoldfastError:
    await opening(folder, records=[Page])
    async with open_store(records=[Page]) as store:
        runtime = store.runtime
    return await raised(opened_for_writing(str(folder), Declarations.of([PageWithMore], (), None), runtime, None, migrate=False))


@provokes("storage_constraint")
async def an_entry_that_does_not_continue_the_log(folder: Path) -> HoldfastError:
    async with open_store(folder, records=[Page]) as store:
        await store.member("acme", "ann@example.org")

        async def write() -> None:
            async with store.storage.batch(["acme"]) as batch:
                await batch.write(Writes(head=Head("acme", 99, "0" * 64)))

        return await raised(write())


# -- disks -----------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def on_a_disk(folder: Path) -> AsyncIterator[tuple[SimulatedDisk, Any]]:
    """A member on a store in place, on a disk with faults to switch on."""
    os.mkdir(folder)
    disk = SimulatedDisk(folder, random.Random(1))
    try:
        async with world(path=folder, mode="inline", vfs=disk.name) as made:
            yield disk, made
    finally:
        disk.unregister()


async def a_save(made: World) -> httpx.Response:
    return await made.call("olga", "POST", "/v1/records/notices", {"fields": {"title": "x" * 15_000}})


@provokes("storage_full")
async def a_disk_that_is_full(folder: Path) -> httpx.Response:
    async with on_a_disk(folder) as (disk, made):
        disk.capacity_bytes = disk.used_bytes()
        answer = await a_save(made)
        disk.capacity_bytes = None
        assert (await a_save(made)).status_code == 201
        return answer


@provokes("storage_read_only")
async def a_disk_that_became_read_only(folder: Path) -> httpx.Response:
    async with on_a_disk(folder) as (disk, made):
        disk.read_only = True
        answer = await a_save(made)
        disk.read_only = False
        assert (await a_save(made)).status_code == 201
        return answer


@provokes("storage_failed")
async def a_disk_that_does_not_write(folder: Path) -> httpx.Response:
    async with on_a_disk(folder) as (disk, made):
        disk.failing = {"write"}
        answer = await a_save(made)
        disk.failing = set()
        assert (await a_save(made)).status_code == 201
        return answer


@provokes("storage_corrupt")
async def a_file_that_is_damaged(folder: Path) -> HoldfastError:
    await opening(folder, records=[Page])
    path = folder / "holdfast.db"
    content = bytearray(path.read_bytes())
    content[4_096:40_960] = b"\xa5" * 36_864
    path.write_bytes(content)
    return await raised(opening(folder, records=[Page]))


# -- what they are -----------------------------------------------------------------------------------------------------------


def documented() -> dict[str, tuple[int, bool]]:
    """code -> (status, whether the same call may succeed later), from the reference."""
    text = (PROJECT / "docs" / "reference" / "errors.md").read_text("utf-8")
    return {code: (int(status), again == "yes") for code, status, again in
            re.findall(r"^\| .*?`\w+` \| `(\w+)` \| (\d+) \| (yes|no) \|", text, re.MULTILINE)}


def test_every_documented_error_has_a_provocation() -> None:
    assert len(documented()) > 25
    assert set(documented()) - PARENTS - set(PROVOKED) == set()
    assert set(PROVOKED) - set(documented()) == {"internal", "out_of_order", "forked"}, "documented in words, or results of a push"


@pytest.mark.parametrize("code", sorted(PROVOKED))
async def test_an_error_that_is_provoked_is_what_the_document_says(code: str, tmp_path: Path) -> None:
    found = await PROVOKED[code](tmp_path / "data")
    status, again = documented().get(code, (500, False))
    if isinstance(found, HoldfastError):
        assert (found.code, found.status, found.retryable) == (code, status, again) and found.detail and found.hint
    elif isinstance(found, httpx.Response):
        problem = found.json()
        assert (found.status_code, problem["code"], problem["type"]) == (status, code, f"urn:holdfast:problem:{code}")
        assert problem["detail"] and problem["hint"] and ("retry-after" in found.headers) is again
    else:
        assert found["code"] == code and found["detail"] and found["hint"]


def test_nothing_raises_what_only_gathers_others() -> None:
    names = {error.__name__ for error in all_codes() if error.code in PARENTS}
    assert names == {"HoldfastError", "CallerError"}
    for path in (PROJECT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
                assert node.exc.func.id not in names, f"{path.name}:{node.lineno}"
