"""A notebook for the command line that loses nothing: every line is on this machine's disk before the next one is asked for, and at the
server whenever it is there. Cut the network, kill the server, kill this program: nothing typed is lost, and nothing arrives twice.

    export HOLDFAST_TOKEN=$(holdfast token create --user ada@example.org --tenant acme)
    python examples/offline_notes.py write Journal          # line after line, until the end of the input
    python examples/offline_notes.py read Journal
    python examples/offline_notes.py list
    python examples/offline_notes.py sync                   # wait until everything is at the server

`--file` is the replica (default: notes.replica), `--server` its server (default: http://127.0.0.1:8740).
"""

from __future__ import annotations

import argparse
import os
import sys

from notes_app import Note

from holdfast import HoldfastError
from holdfast.client import BlockingReplica, open_replica_blocking

__all__ = ["main"]


def note_named(replica: BlockingReplica, title: str) -> Note:
    found = replica.list(Note, title=title)
    return found[0] if found else replica.create(Note(title=title))


def write(replica: BlockingReplica, title: str) -> None:
    body = replica.text(note_named(replica, title), "body")
    for line in sys.stdin:
        body.append(line)
        print(f"kept: {line.rstrip()}", flush=True)         # it is on the disk; the server gets it when it can


def sync(replica: BlockingReplica, seconds: float) -> int:
    if replica.synced(seconds):
        return 0
    print(f"{replica.status.phrase}. {replica.status.cause} {replica.status.hint}".strip(), file=sys.stderr)
    return 1


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--file", default="notes.replica")
    parser.add_argument("--server", default="http://127.0.0.1:8740")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("write", "read"):
        commands.add_parser(name).add_argument("title")
    commands.add_parser("list")
    commands.add_parser("sync").add_argument("--seconds", type=float, default=30.0)
    return parser


def main() -> int:
    given = arguments().parse_args()
    try:
        with open_replica_blocking(given.file, given.server, token=os.environ.get("HOLDFAST_TOKEN"), records=[Note]) as replica:
            if given.command == "write":
                write(replica, given.title)
            elif given.command == "read":
                print(note_named(replica, given.title).body, end="")
            elif given.command == "sync":
                return sync(replica, given.seconds)
            else:
                print("\n".join(f"{note.title}\t{replica.receipt(note)}" for note in replica.list(Note, sort="title")))
    except HoldfastError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
