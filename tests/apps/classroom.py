"""Two organisations that hold workshops, and a server on a loopback port for them.

In acme: fay and finn hold workshops, pam and pete take part, olga owns the organisation. In other: zoe holds one, zed takes part.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from holdfast import Caller, MemberSession, Store, open_store
from holdfast.server.app import asgi_app
from holdfast.server.settings import Settings
from tests.server.serving import serving

PEOPLE = {"fay": ("acme", "facilitator"), "finn": ("acme", "facilitator"), "pam": ("acme", "participant"), "pete": ("acme", "participant"),
          "olga": ("acme", "owner"), "zoe": ("other", "facilitator"), "zed": ("other", "participant")}
SETTINGS = Settings(port=0, shutdown_seconds=1)

Json = dict[str, Any]


@dataclass
class Classroom:
    store: Store
    client: httpx.AsyncClient
    actors: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    async def call(self, name: str, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None,
                   **options: Any) -> httpx.Response:
        signed_in = {"authorization": f"Bearer {self.tokens[name]}", **(headers or {})}
        return await self.client.request(method, path, json=body, headers=signed_in, **options)

    async def done(self, name: str, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """The answer's JSON. Fails with what the server said if that is a problem."""
        answer = await self.call(name, method, path, body, **options)
        assert answer.is_success, f"{name} {method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def member(self, name: str) -> MemberSession:
        return self.store.as_caller(Caller(tenant_id=PEOPLE[name][0], actor_id=self.actors[name]))

    # -- what the application does ----------------------------------------------------------------------------------------

    async def workshop(self, name: str = "fay", *steps: str, title: str = "A workshop") -> Json:
        found: Json = await self.done(name, "POST", "/api/workshop/create", {"title": title, "steps": list(steps)})
        return found

    async def session(self, name: str, workshop: Json) -> Json:
        found: Json = await self.done(name, "POST", "/api/workshop/session/create", {"workshop_id": workshop["id"]})
        return found

    async def save(self, name: str, session: Json, step: int, text: str, **more: Any) -> Json:
        body = {"session_id": session["id"], "step_number": step, "response_text": text, **more}
        found: Json = await self.done(name, "POST", "/api/workshop/save", body)
        return found

    async def resume(self, name: str, session: Json) -> Json:
        found: Json = await self.done(name, "GET", f"/api/workshop/{session['id']}")
        return found

    async def text(self, name: str, session: Json, step: int) -> str:
        """The answer of a step, as the person who comes back gets it."""
        responses = (await self.resume(name, session))["responses"]
        text: str = next(one["response_text"] for one in responses if one["step_number"] == step)
        return text

    async def message(self, name: str, session: Json, step: int, content: str, role: str = "user") -> Json:
        fields = {"session_id": session["id"], "step_number": step, "role": role, "content": content}
        record: Json = (await self.done(name, "POST", "/v1/records/chat_messages", {"fields": fields}))["record"]
        return record


@asynccontextmanager
async def classroom(folder: Path | None) -> AsyncIterator[Classroom]:
    async with open_store(folder, apps=["holdfast.apps.workshop"]) as store:
        app = asgi_app(store, settings=SETTINGS)
        async with serving(app, SETTINGS) as served, served.client() as client:
            room = Classroom(store, client)
            for name, (tenant, role) in PEOPLE.items():
                member = await store.member(tenant, f"{name}@{tenant}.example", roles={role}, display_name=name.capitalize())
                room.actors[name] = member.actor_id
                room.tokens[name] = await store.accounts.create_token(tenant, f"{name}@{tenant}.example")
            yield room
