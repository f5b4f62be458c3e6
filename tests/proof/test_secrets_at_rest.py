"""Sensitive values are nowhere in plain but on the wire to those with the right: not in any file of the data folder while the server runs,
after it ended, or after it was killed; not in its log, its metrics, activity or an error; in no encoding that a search would find. Through
a real server, by every way a value can take. Defends P4."""

from __future__ import annotations

import base64
import json
import quopri
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.proof.hosts import ServedHost, started
from tests.proof.world import named_id

RECORD = named_id("secretive")
PLACE = f"/v1/records/patients/{RECORD}"


class Secrets:
    """Makes secrets that are nowhere else, and finds them in any of the forms in which a file may hold them."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __call__(self) -> str:
        self.made.append(f"Geheimnis-ß€{len(self.made):03d}-Kürbis")
        return self.made[-1]

    def found_in(self, content: bytes) -> list[str]:
        return [f"{secret} ({form})" for secret in self.made for form, raw in forms(secret) if raw in content]


def forms(secret: str) -> Iterator[tuple[str, bytes]]:
    plain = secret.encode()
    yield "utf-8", plain
    yield "utf-16", secret.encode("utf-16-le")
    yield "utf-16 be", secret.encode("utf-16-be")
    yield "json", json.dumps(secret)[1:-1].encode()
    yield "percent", quote(secret).encode()
    yield "hex", plain.hex().encode()
    yield "quoted", quopri.encodestring(plain)
    for shift in range(3):      # wherever it begins in a longer text
        yield f"base64 +{shift}", base64.b64encode(b"\0" * shift + plain)[4 if shift else 0:-4]
        yield f"base64url +{shift}", base64.urlsafe_b64encode(b"\0" * shift + plain)[4 if shift else 0:-4]
    yield "latin-1", secret.replace("€", "?").encode("latin-1")


def test_a_secret_is_found_in_all_of_these_forms() -> None:
    secrets = Secrets()
    secret = secrets()
    for content in (secret.encode(), secret.encode("utf-16"), json.dumps({"a": secret}).encode(),
                    base64.b64encode(b"xy" + secret.encode() + b"zzzz")):
        assert secrets.found_in(b"before " + content + b" after")


class Story:
    """Everything that can happen to a sensitive value, over HTTP. `told` is every answer that must not hold one."""

    def __init__(self, host: ServedHost, secrets: Secrets) -> None:
        self.host, self.secret = host, secrets
        self.told: list[bytes] = []
        self._count = 0
        self._after: dict[str, str] = {}

    async def call(self, method: str, url: str, body: Any = None, *, who: str = "ada", status: tuple[int, ...] = (200, 201, 202)) -> Any:
        assert self.host.client is not None
        answer = await self.host.client.request(method, url, json=body, headers=self.host.headers(who))
        assert answer.status_code in status, answer.text
        if answer.status_code >= 400 or "/activity" in url or "/metrics" in url or "/schema" in url:
            self.told.append(answer.content)
        return answer.json() if answer.headers["content-type"].endswith("json") else None

    async def push(self, device: str, op: dict[str, Any], *, base: str | None = None, who: str = "ada", **more: Any) -> dict[str, Any]:
        self._count += 1
        mutation = {"mutation_id": f"{device}-{self._count}", "collection": "patients", "record_id": RECORD, "ops": [op], "base": base,
                    "after": self._after.get(device), **more}
        reply = await self.call("POST", "/v1/push", {"device_id": device, "mutations": [mutation]}, who=who)
        result: dict[str, Any] = reply["results"][0]
        if result["outcome"] == "refused":
            self.told.append(json.dumps(result).encode())
        else:
            self._after[device] = mutation["mutation_id"]
        return result

    async def tell(self) -> None:
        secret = self.secret
        await self.push("laptop", {"op": "create", "value": {"person": "p", "phone": secret(), "file": {secret(): [secret()]},
                                                           "secret_fee": secret()}})
        position = (await self.call("GET", PLACE))["position"]
        await self.push("laptop", {"op": "set", "path": "/phone", "value": secret()}, base=position)
        await self.push("laptop", {"op": "set", "path": f"/file/deep/{secret()}/x", "value": {"k": secret()}}, base=position)
        await self.push("laptop", {"op": "unset", "path": f"/file/deep/{secret()}"}, base=position)
        await self.questions(position)
        await self.mistakes()
        await self.ways_back()
        await self.actions()
        await self.push("laptop", {"op": "delete"})
        deleted = await self.push("phone", {"op": "set", "path": "/phone", "value": secret()})
        assert deleted["outcome"] == "held"
        await self.push("laptop", {"op": "undelete"})
        for url in ("/v1/activity", "/metrics", "/v1/schema", f"/v1/activity?record_id={RECORD}"):
            await self.call("GET", url)

    async def questions(self, position: str) -> None:
        """Two answers to one question; applied, given a value, discarded."""
        secret = self.secret
        for number, way in enumerate(({"apply": True}, {"value": {"/secret_fee": secret()}}, {"discard": True, "reason": "old"})):
            await self.push("laptop", {"op": "set", "path": "/secret_fee", "value": secret()}, base=position)
            held = await self.push(f"tablet-{number}", {"op": "set", "path": "/secret_fee", "value": secret()}, base=position)
            assert held["outcome"] == "held", held
            await self.call("POST", f"/v1/inbox/{held['inbox_id']}", way)
        waits = await self.push("tablet-waits", {"op": "set", "path": "/secret_fee", "value": secret()}, base=position)
        assert waits["outcome"] == "held"

    async def mistakes(self) -> None:
        """Values of the wrong kind, in a field, in a create, in an id that comes back with another value, in filters."""
        secret = self.secret
        for value in ({"a": secret()}, [secret()], secret() * 2_000):
            await self.push("phone", {"op": "set", "path": "/phone", "value": value})
            await self.call("PATCH", PLACE, {"fields": {"phone": value}}, status=(413, 422))
        await self.call("PATCH", PLACE, {"fields": {"phone": secret(), "ward": "north"}}, status=(422,))
        await self.call("PATCH", PLACE, {"fields": {"nothing": secret()}}, status=(422,))
        await self.call("PATCH", PLACE, {"ops": [{"op": "splice", "path": "/phone", "edits": [[0, 0, secret()]]}]}, status=(400, 422))
        await self.call("PATCH", PLACE, {"ops": [{"op": "set", "path": "/phone/x", "value": secret()}]}, status=(400, 422))
        await self.call("POST", "/v1/records/patients", {"fields": {"phone": secret()}}, status=(422,))
        await self.call("GET", f"/v1/records/patients?phone={quote(secret())}", status=(422,))
        await self.call("GET", "/v1/records/patients?sort=phone", status=(422,))
        once = {"mutation_id": "reused", "after": None}
        await self.push("reuser", {"op": "set", "path": "/phone", "value": secret()}, **once)
        reused = await self.push("reuser", {"op": "set", "path": "/phone", "value": secret()}, **once)
        assert reused["error"]["code"] == "id_reused"
        rev = (await self.call("GET", PLACE))["rev"]
        assert self.host.client is not None
        stale = await self.host.client.patch(PLACE, json={"fields": {"phone": secret()}},
                                             headers={**self.host.headers("ada"), "if-match": f'"{rev - 1}"'})
        assert stale.status_code == 412
        self.told.append(stale.content)

    async def ways_back(self) -> None:
        secret = self.secret
        first = (await self.call("GET", PLACE))["rev"]
        await self.call("PATCH", PLACE, {"fields": {"phone": secret(), "file": {"now": secret()}}})
        await self.call("POST", f"{PLACE}/undo", {})
        await self.call("POST", f"{PLACE}/redo", {})
        await self.call("POST", f"{PLACE}/versions", {"rev": first, "name": "before"})
        await self.call("POST", f"{PLACE}/restore", {"rev": first})
        for rest in ("/history", f"/at/{first}", f"/diff?from={first}", "/why?path=/phone"):
            await self.call("GET", PLACE + rest)

    async def actions(self) -> None:
        """An action that answers with the record, one that was told a secret and fails with it in its words, and both again."""
        secret = self.secret
        for _ in range(2):
            await self.call("POST", "/v1/actions/clinic.weigh", {"mutation_id": "w", "patient_id": RECORD, "note": "n"})
        failing = {"mutation_id": "f", "note": secret()}
        for _ in range(2):
            await self.call("POST", "/v1/actions/clinic.fail", failing, status=(500,))
        await self.call("POST", "/v1/actions/clinic.weigh", {"patient_id": RECORD, "note": {"x": secret()}}, status=(422,))


def contents(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("level", ["info", "debug"])
async def test_no_file_log_metric_or_error_holds_a_sensitive_value(tmp_path: Path, level: str) -> None:
    host, secrets = ServedHost(tmp_path / "data", HOLDFAST_LOG_LEVEL=level), Secrets()
    async with started(host):
        story = Story(host, secrets)
        await story.tell()
        view = await story.call("GET", PLACE)
        assert [secret for secret in secrets.made if secret in json.dumps(view, ensure_ascii=False)], "the owner reads it in plain"
        assert len(secrets.made) > 30 and len(story.told) > 12
        running = contents(host.folder)
        assert b"secretive" not in running and len(running) > 100_000
        await host.kill()
        killed = contents(host.folder)
        await host.start()
        await host.stop()
        stopped = contents(host.folder)
    log = host.log.read_bytes()
    assert b"RuntimeError" in log and b"in fail" in log, "an unexpected error leaves its trace"
    for name, content in (("running", running), ("killed", killed), ("stopped", stopped), ("answers", b"\n".join(story.told)),
                          *([("log", log)] if level != "debug" else [])):
        assert not secrets.found_in(content), (name, secrets.found_in(content))
    assert level != "debug" or len(secrets.found_in(log)) == 1, "what an application says of its failure, where an operator asked for it"
