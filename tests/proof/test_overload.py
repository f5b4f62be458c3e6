"""More saves than the writer takes: what is over the limit is turned away at once with 503 and Retry-After, memory does not grow, nothing
that was let in is lost, and a save that waits in vain is told so. The writer is stopped like a disk that hangs (SIGSTOP). Defends P1 and
P5."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx

from tests.proof.hosts import ServedHost, is_running, memory_of, started
from tests.proof.typists import Typists, judge
from tests.proof.world import named_id

PUSH = 500
QUEUE = 20_000          # limits: queue_mutations_max
MIB = 1 << 20


def a_push(number: int) -> dict[str, Any]:
    return {"device_id": f"d{number}", "mutations": [
        {"mutation_id": f"d{number}.{at}", "collection": "notices", "record_id": named_id(f"{number} {at}"),
         "ops": [{"op": "create", "value": {"title": f"{number} {at}", "body": "x" * 100}}]} for at in range(PUSH)]}


async def flood(client: httpx.AsyncClient, headers: dict[str, str], bodies: list[dict[str, Any]]) -> list[httpx.Response]:
    return list(await asyncio.gather(*(client.post("/v1/push", json=body, headers=headers) for body in bodies)))


async def test_over_its_limit_the_server_turns_saves_away_and_memory_stays_where_it_is(tmp_path: Path) -> None:
    host = ServedHost(tmp_path / "data")
    async with started(host):
        typists = Typists.of(host, 1, count=1)
        await typists.begin()
        writer, server = host.writers()
        headers, bodies = host.headers("ada"), [a_push(number) for number in range(60)]
        async with httpx.AsyncClient(base_url=host.url, timeout=60, limits=httpx.Limits(max_connections=100)) as client:
            os.kill(writer, signal.SIGSTOP)
            try:
                let_in = asyncio.gather(*(client.post("/v1/push", json=body, headers=headers) for body in bodies[:QUEUE // PUSH]))
                await asyncio.sleep(1.0)
                assert not let_in.done()
                full = memory_of(server)
                began = time.monotonic()
                for _ in range(4):
                    turned = await flood(client, headers, bodies[QUEUE // PUSH:])
                    assert {answer.status_code for answer in turned} == {503}
                    assert {answer.json()["code"] for answer in turned} == {"overloaded"}
                    assert all(1 <= int(answer.headers["retry-after"]) <= 30 for answer in turned)
                seconds_each = (time.monotonic() - began) / 80
                grown = memory_of(server) - full
                one = await client.post("/v1/records/notices", json={"fields": {"title": "x"}}, headers=headers)
                assert one.status_code == 503 and one.headers["retry-after"]
                assert (await client.get("/healthz")).status_code == 200
            finally:
                os.kill(writer, signal.SIGCONT)
            answers = await let_in
            assert {answer.status_code for answer in answers} == {200}
            assert {one["outcome"] for answer in answers for one in answer.json()["results"]} == {"applied"}
            later = await flood(client, headers, bodies[QUEUE // PUSH:][:4])
            assert {one["outcome"] for answer in later for one in answer.json()["results"]} == {"applied"}
            assert (await client.get("/readyz")).status_code == 200
        await host.stop()
        print(f"{80 * PUSH} mutations turned away, {seconds_each * 1000:.1f} ms a push; {full / MIB:.0f} MiB, grown by {grown / MIB:.1f}")
        assert grown < 24 * MIB and seconds_each < 0.5
        entries = await judge(host.folder, typists.devices)
        assert entries >= QUEUE + 4 * PUSH


async def test_a_save_that_waits_in_vain_is_told_that_its_outcome_is_unknown_and_is_taken_once(tmp_path: Path) -> None:
    host = ServedHost(tmp_path / "data", HOLDFAST_ANSWER_SECONDS_MAX="0.5")
    async with started(host):
        typists = Typists.of(host, 2, count=1)
        await typists.begin()
        writer = host.writers()[0]
        assert host.client is not None
        os.kill(writer, signal.SIGSTOP)
        try:
            answer = await host.client.post("/v1/push", json=a_push(1), headers=host.headers("ada"))
            assert answer.status_code == 503 and answer.json()["code"] == "unavailable" and answer.headers["retry-after"]
            ready = await host.client.get("/readyz")
            assert ready.status_code == 503
        finally:
            os.kill(writer, signal.SIGCONT)
        again = await host.client.post("/v1/push", json=a_push(1), headers=host.headers("ada"))
        assert {one["outcome"] for one in again.json()["results"]} <= {"applied", "duplicate"}
        listed = await host.client.get("/v1/records/notices?limit=1&title=1%20499", headers=host.headers("ada"))
        assert len(listed.json()["records"]) == 1
        await host.stop()
        await judge(host.folder, typists.devices)


async def test_a_server_whose_writer_hangs_still_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    host = ServedHost(tmp_path / "data")
    async with started(host):
        typists = Typists.of(host, 3, count=1)
        await typists.begin()
        writer, server = host.writers()
        os.kill(writer, signal.SIGSTOP)
        async with httpx.AsyncClient(base_url=host.url, timeout=60) as client:
            waiting = asyncio.get_running_loop().create_task(client.post("/v1/push", json=a_push(1), headers=host.headers("ada")))
            await asyncio.sleep(0.3)
            began = time.monotonic()
            os.kill(server, signal.SIGTERM)
            answer = await asyncio.gather(waiting, return_exceptions=True)
        assert isinstance(answer[0], httpx.HTTPError) or answer[0].status_code == 503
        await host.wait(30)
        assert time.monotonic() - began < 25 and not is_running(writer)
