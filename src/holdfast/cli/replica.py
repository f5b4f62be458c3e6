"""`holdfast replica`: what a replica's file holds that the server does not have yet, and how to get it out in the worst case."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import click

from holdfast.cli.output import Command, columns, json_option, say, show
from holdfast.client.salvage import export_file, pending_of_file, resend_file, status_of_file
from holdfast.core.errors import InvalidValue
from holdfast.runtime import RealRuntime

__all__ = ["replica"]

_FILE = click.argument("file", type=click.Path(dir_okay=False))


@click.group()
def replica() -> None:
    """A program's replica: what is unsent and why, and how to get it out."""


@replica.command("status", cls=Command)
@_FILE
@json_option
def status(file: str, as_json: bool) -> None:
    """Show whose replica FILE is, and how much of it is not at the server."""
    show(status_of_file(file, RealRuntime()), as_json, _status_lines)


def _status_lines(facts: dict[str, Any]) -> list[str]:
    belongs = f"{facts['tenant'] or 'nobody yet'} at {facts['server'] or 'no server yet'}"
    kept = ", ".join(f"{name}: {count:,}" for name, count in facts["records"].items()) or "no records"
    lines = [f"Replica of {belongs} ({kept})."]
    if facts["waiting"]:
        lines.append(f"{_changes(facts['waiting'])} not at the server, the oldest from {facts['oldest']}.")
        if facts["cause"]:
            lines.append(f"Why: {facts['cause']}")
    else:
        lines.append("Everything is at the server." + (f" Last saved {facts['saved_at']}." if facts["saved_at"] else ""))
    if facts["refused"]:
        lines.append(f"Not accepted: {facts['refused']:,}. `holdfast replica pending` shows why.")
    if facts["held"]:
        lines.append(f"Waiting for a decision: {facts['held']:,}.")
    return lines


def _changes(count: int) -> str:
    return "1 change is" if count == 1 else f"{count:,} changes are"


@replica.command("pending", cls=Command)
@_FILE
@json_option
def pending(file: str, as_json: bool) -> None:
    """List what is unsent in FILE, oldest first, and why."""
    show({"pending": pending_of_file(file, RealRuntime())}, as_json, lambda facts: columns(
        [(one["made_at"], one["state"], str(one["collection"] or one.get("action")), str(one["record_id"] or ""), one["why"] or "")
         for one in facts["pending"]]) or ["Nothing is unsent."])


@replica.command("export", cls=Command)
@_FILE
@json_option
def export(file: str, as_json: bool) -> None:
    """Print what is unsent in FILE as JSON, with the records it belongs to; of a damaged file, all that can be read."""
    found = export_file(file, RealRuntime())
    if found.get("damaged"):
        say(f"holdfast: {found['why']} This is what can still be read.")
    show(found, True, lambda facts: [])


@replica.command("retry", cls=Command)
@_FILE
@click.option("--url", default=None, help="The server, if the file does not name it.")
@click.option("--token", default=lambda: os.environ.get("HOLDFAST_TOKEN"), help="API token (default: HOLDFAST_TOKEN from the environment).")
@json_option
def retry(file: str, url: str | None, token: str | None, as_json: bool) -> None:
    """Send what is unsent in FILE now, without its program."""
    if not token:
        raise InvalidValue("Sending needs a token.", field="token", hint="Set HOLDFAST_TOKEN, or give --token.")
    facts = asyncio.run(resend_file(file, token, RealRuntime(), url=url))
    show(facts, as_json, lambda facts: [
        f"{_changes(facts['acknowledged'])} at the server now; still waiting: {facts['waiting']:,}.",
        *(f"Not accepted: {one['mutation_id']}: {one['why']}" for one in facts["refused"])])
