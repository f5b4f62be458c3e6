"""`python served.py FOLDER PORT`: what `holdfast serve --app pages_app` calls, with one organisation and a person in it.

Prints the schema and a token as a line of JSON before it listens: one process instead of five, since tests start it often.
"""

from __future__ import annotations

import json
import sys

from holdfast.engine.store import Store
from holdfast.model.describe import describe
from holdfast.server.serve import run
from holdfast.server.settings import Settings


async def prepare(store: Store) -> str:
    if await store.accounts.account("ada@example.org") is None:
        await store.accounts.create_tenant("acme")
        account = await store.accounts.create_account("ada@example.org", "correct horse battery")
        await store.accounts.add_member("acme", account, ["owner"])
    token = await store.accounts.create_token("acme", "ada@example.org")
    return json.dumps({"token": token, "schema": describe(store.schema)})


if __name__ == "__main__":
    folder, port = sys.argv[1:]
    run(Settings(data=folder, port=int(port), writer="thread", shutdown_seconds=2), ["pages_app"], prepare=prepare)
