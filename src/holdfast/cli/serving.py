"""`holdfast serve`: its options are the declared settings, one by one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from holdfast.cli.demonstration import prepare_demonstration, raise_if_open_to_others
from holdfast.cli.output import Command
from holdfast.cli.place import BUNDLED, database_option
from holdfast.server.serve import run
from holdfast.server.settings import Declared, Settings, declared

__all__ = ["serve"]

SECONDARY = "Further settings"


def setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """An option for each declared setting. None means: not given here, so the environment or the default decides."""
    for item in reversed(declared()):
        command = _option(item)(command)
    return command


def _option(item: Declared) -> Callable[[Callable[..., None]], Callable[..., None]]:
    default = ", ".join(item.default) if isinstance(item.default, tuple) else item.default
    shown = f" [{item.variable}; default: {default}]" if default not in (None, "", False) else f" [{item.variable}]"
    if item.kind is bool:
        return click.option(item.option, item.name, is_flag=True, default=None, help=item.help + shown)
    kind: Any = str if item.kind is tuple else item.kind
    metavar = (item.unit or item.kind.__name__).upper() if " " not in item.unit else None
    return click.option(item.option, item.name, type=kind, multiple=item.kind is tuple, default=None, metavar=metavar,
                        help=item.help + shown)


@click.command("serve", cls=Command)
@setting_options
@database_option
def serve(database: str | None, **given: Any) -> None:
    """Serve the applications over HTTP and WebSocket until SIGTERM or Ctrl-C.

    Prints the address when it is ready; logs lines of JSON on standard error. Refuses to start where an acknowledged save could be lost.
    """
    settings = Settings.load(os.environ, **{name: value for name, value in given.items() if value not in (None, ())})
    if settings.demo:
        raise_if_open_to_others(settings)
    run(settings, BUNDLED, database=database, prepare=prepare_demonstration if settings.demo else None)
