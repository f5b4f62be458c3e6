"""For machines and operators: schema, OpenAPI, health, metrics; and the page at `/`."""

from __future__ import annotations

import hmac

from holdfast.core.errors import NotSignedIn, WorldError
from holdfast.server.authenticate import bearer
from holdfast.server.calls import Answer, Call, Route
from holdfast.server.metrics import CONTENT_TYPE
from holdfast.server.rights import described
from holdfast.server.startpage import CONTENT_POLICY, start_page

__all__ = ["machine_routes"]


async def schema(call: Call) -> Answer:
    profile = await call.services.people.profile(call.signed_in)
    roles = frozenset(profile.get("roles", ()))
    known = call.store.schema
    tag = f'"{known.digest}-{"+".join(sorted(roles))}"'.encode()
    if call.headers.get(b"if-none-match") == tag:
        return Answer(status=304, headers=[(b"etag", tag)])
    return Answer(body=described(known, roles), headers=[(b"etag", tag), (b"cache-control", b"private, no-cache")])


async def openapi(call: Call) -> Answer:
    return Answer(body=call.services.openapi(call.base_path))


async def health(call: Call) -> Answer:
    """The process answers. Says nothing of the store: restarting the server does not mend a disk."""
    return Answer(body={"status": "ok"})


async def ready(call: Call) -> Answer:
    """The store takes saves."""
    try:
        await call.services.ready()
    except TimeoutError as error:
        raise WorldError("The store does not answer in time.", hint="Look at the server's log; run `holdfast doctor`.") from error
    return Answer(body={"status": "ready"})


async def metrics(call: Call) -> Answer:
    wanted = call.services.settings.metrics_token
    if wanted is not None:
        given = bearer(call.headers.get(b"authorization", b""))
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            raise NotSignedIn("/metrics needs the token of HOLDFAST_METRICS_TOKEN.")
    return Answer(body=call.services.metrics.render(), media=CONTENT_TYPE.encode())


async def start(call: Call) -> Answer:
    page = start_page(call.store.schema, call.services.applications, call.base_path)
    return Answer(body=page.encode(), media=b"text/html; charset=utf-8",
                  headers=[(b"content-security-policy", CONTENT_POLICY.encode()), (b"cache-control", b"no-cache")])


def machine_routes() -> list[Route]:
    """The rows of the route table for machines."""
    return [
        Route(method="GET", path="/v1/schema", name="schema", summary="Collections with their JSON Schemas, and what the caller may do.",
              handler=schema, replies={200: dict, 304: None}),
        Route(method="GET", path="/openapi.json", name="openapi", summary="This document.", handler=openapi, public=True,
              replies={200: dict}),
        Route(method="GET", path="/healthz", name="health", summary="The process answers.", handler=health, public=True,
              replies={200: dict}),
        Route(method="GET", path="/readyz", name="ready", summary="The store takes saves.", handler=ready, public=True, replies={200: dict},
              errors=(WorldError,)),
        Route(method="GET", path="/metrics", name="metrics", summary="Figures for Prometheus.", handler=metrics, public=True,
              replies={200: CONTENT_TYPE}, errors=(NotSignedIn,)),
        Route(method="GET", path="/", name="start", summary="The page that lists the applications.", handler=start, public=True,
              replies={200: "text/html"}),
    ]
