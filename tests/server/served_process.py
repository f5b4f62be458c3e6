"""`python -m tests.server.served_process FOLDER PORT WRITER`: `server.serve.run` as the command line calls it, with one organisation."""

from __future__ import annotations

import sys

from holdfast.core.errors import HoldfastError
from holdfast.engine.store import Store
from holdfast.server.serve import run
from holdfast.server.settings import Settings


async def prepare(store: Store) -> str:
    if await store.accounts.account("ada@acme.example") is None:
        await store.accounts.create_tenant("acme")
        account = await store.accounts.create_account("ada@acme.example", "correct horse battery")
        await store.accounts.add_member("acme", account, ["owner"])
    return f"token {await store.accounts.create_token('acme', 'ada@acme.example')}"


def main() -> int:
    folder, port, writer = sys.argv[1:4]
    try:
        run(Settings(data=folder, port=int(port), writer=writer, shutdown_seconds=2), ["tests.server.desk"], prepare=prepare)
    except HoldfastError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
