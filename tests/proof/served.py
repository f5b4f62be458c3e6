"""`python -m tests.proof.served FOLDER PORT WRITER`: the server as the command line runs it, over the watched clinic, with one
organisation; prints the tokens of ada and bob. Other settings come from the environment."""

from __future__ import annotations

import json
import os
import sys

from holdfast.core.errors import HoldfastError
from holdfast.engine.store import Store
from holdfast.server.serve import run
from holdfast.server.settings import Settings


async def prepare(store: Store) -> str:
    tokens = {}
    for name in ("ada", "bob"):
        await store.member("acme", f"{name}@clinic.example", roles=["owner"])
        tokens[name] = await store.accounts.create_token("acme", f"{name}@clinic.example")
    return json.dumps(tokens)


def main() -> int:
    folder, port, writer = sys.argv[1:4]
    try:
        settings = Settings.load(os.environ, data=folder, port=int(port), writer=writer, shutdown_seconds=2.0)
        run(settings, ["tests.proof.watched"], prepare=prepare)
    except HoldfastError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
