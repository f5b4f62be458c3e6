"""Hostile and slow connections. Defends P4 (apart: one connection never answers for another) and P1 (a hostile neighbour does not keep
others from saving)."""

from __future__ import annotations

import asyncio
import json

import pytest

from holdfast.server.app import asgi_app
from holdfast.server.settings import Settings
from tests.server.fakes import FakePeople, FakeStore
from tests.server.serving import Served, serving

AUTH = b"authorization: Bearer hf_a_t1\r\n"


def push_body(count: int = 1) -> bytes:
    return json.dumps({"device_id": "d1", "mutations": [
        {"mutation_id": f"m{number}", "collection": "notes", "record_id": "r1", "ops": [{"op": "set", "path": "/title", "value": "x"}]}
        for number in range(count)]}).encode()


def push_request(body: bytes, *, extra: bytes = b"") -> bytes:
    return (b"POST /v1/push HTTP/1.1\r\nhost: x\r\n" + AUTH + b"content-type: application/json\r\n" + extra
            + b"content-length: %d\r\n\r\n" % len(body) + body)


async def saves_still_work(served: Served) -> None:
    async with served.client("hf_a_t1") as client:
        answer = await client.post("/v1/push", content=push_body(), headers={"content-type": "application/json"})
        assert answer.status_code == 200 and answer.json()["results"][0]["outcome"] == "applied"


@pytest.mark.parametrize(("request_bytes", "status"), [
    (b"GARBAGE\r\n\r\n", b"400"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
    (b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello", b"400"),
    (b"POST /v1/push HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
    (b"POST /v1/push HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", b"400"),
    (b"POST /v1/push HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", b"400"),
    (b"POST /v1/push HTTP/1.1\r\nhost: x\r\ncontent-length: 0x10\r\n\r\n", b"400"),
    (b"POST /v1/push HTTP/1.1\r\nhost : x\r\n\r\n", b"400"),
    (b"GET / HTTP/1.1\r\nhost: x\r\nx: a\x00b\r\n\r\n", b"400"),
    (b"GET / HTTP/1.1\r\nhost: x\r\n folded: header\r\n\r\n", b"400"),
    (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", b"431"),
    (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x: y\r\n" * 8_000 + b"\r\n", b"431"),
    (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 40_000 + b"\r\n\r\n", b"431"),
])
async def test_what_is_no_proper_request_is_refused_with_a_problem_and_closed(served: Served, request_bytes: bytes, status: bytes) -> None:
    answer = await served.raw(request_bytes)
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
    assert b"application/problem+json" in answer and b"urn:holdfast:problem:" in answer
    assert answer.count(b"HTTP/1.1 4") == 1 and b"<still open>" not in answer
    await saves_still_work(served)


async def test_headers_that_drip_are_cut_off_in_time(served: Served) -> None:
    answer = await served.raw(b"POST /v1/push HTTP/1.1\r\nhost: x\r\nx-slow: ")
    assert answer.startswith(b"HTTP/1.1 408") and b"<still open>" not in answer


async def test_a_connection_that_says_nothing_is_closed(served: Served) -> None:
    assert await served.raw(b"") == b""


async def test_a_body_that_drips_is_cut_off_and_nothing_of_it_is_kept(served: Served, store: FakeStore) -> None:
    answer = await served.raw(push_request(push_body())[:-5])
    assert answer.startswith(b"HTTP/1.1 408") and b"<still open>" not in answer
    assert not store.log


async def test_a_client_that_leaves_mid_body_is_forgotten(served: Served, store: FakeStore) -> None:
    _, writer = await asyncio.open_connection(served.host, served.port)
    writer.write(push_request(push_body())[:-5])
    await writer.drain()
    writer.transport.abort()
    await asyncio.sleep(0.1)
    assert not store.log
    await saves_still_work(served)


async def test_a_client_that_half_closes_still_gets_its_answer(served: Served) -> None:
    reader, writer = await asyncio.open_connection(served.host, served.port)
    writer.write(push_request(push_body()))
    writer.write_eof()
    async with asyncio.timeout(3):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200") and b"applied" in answer


async def test_a_second_request_behind_garbage_is_never_answered_with_the_firsts_answer(served: Served) -> None:
    body = push_body()
    answer = await served.raw(push_request(body) + b"\x00\x00garbage\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200") and b"<still open>" not in answer
    assert answer.count(b"HTTP/1.1 200") == 1


async def test_pipelined_requests_are_answered_in_order(served: Served) -> None:
    answer = await served.raw(push_request(push_body(1)) + push_request(push_body(2), extra=b"connection: close\r\n"))
    first, second = answer.split(b"HTTP/1.1 ")[1:]
    assert first.count(b'"outcome"') == 1 and second.count(b'"outcome"') == 2


async def test_a_body_announced_too_long_is_refused_before_it_comes(served: Served, store: FakeStore) -> None:
    answer = await served.raw(b"POST /v1/push HTTP/1.1\r\nhost: x\r\n" + AUTH
                              + b"content-type: application/json\r\ncontent-length: 999999999999\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 413") and b"<still open>" not in answer
    assert not store.log


async def test_a_chunked_body_is_counted_while_it_comes(served: Served) -> None:
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    answer = await served.raw(b"POST /v1/push HTTP/1.1\r\nhost: x\r\n" + AUTH
                              + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n" + chunk * 80 + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413"), answer[:200]
    await saves_still_work(served)


@pytest.mark.parametrize("header", [b"authorization: Bearer hf_b_t1\r\n", b"host: y\r\n", b"content-type: text/plain\r\n"])
async def test_a_header_that_decides_is_refused_twice(served: Served, header: bytes) -> None:
    answer = await served.raw(push_request(push_body(), extra=header + b"connection: close\r\n"))
    assert answer.startswith(b"HTTP/1.1 400") and b"twice" in answer


async def test_a_snapshot_reader_that_stops_reading_is_cut_off(served: Served, store: FakeStore) -> None:
    for number in range(3_000):
        store.records[("t1", "notes", f"r{number}")] = {"collection": "notes", "id": f"r{number}", "fields": {"title": "x" * 4_000}}
    reader, writer = await asyncio.open_connection(served.host, served.port, limit=1024)
    writer.write(b"GET /v1/snapshot HTTP/1.1\r\nhost: x\r\n" + AUTH + b"\r\n")
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(1.2)            # write_seconds_max is 0.5: the server gives up on us
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(12_000_000)
    writer.close()
    await saves_still_work(served)


async def test_connections_over_the_cap_are_told_to_come_back(store: FakeStore) -> None:
    settings = Settings(port=0, connections_max=2)
    async with serving(asgi_app(store, FakePeople(), settings=settings), settings) as served:
        open_ones = [await asyncio.open_connection(served.host, served.port) for _ in range(2)]
        answer = await served.raw(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503") and b"retry-after" in answer
        for _, writer in open_ones:
            writer.close()


async def test_garbage_in_a_pipelined_body_is_never_taken_for_the_first_requests_answer(served: Served, store: FakeStore) -> None:
    store.gate = asyncio.Event()
    chunked = b"POST /v1/push HTTP/1.1\r\nhost: x\r\n" + AUTH + b"transfer-encoding: chunked\r\n\r\nnot-a-length\r\n"
    answer = await served.raw(push_request(push_body()) + chunked)
    assert b"HTTP/1.1 400" not in answer
