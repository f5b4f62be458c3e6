"""Where a command looks: the data folder (or database) and the applications whose declarations it reads. The same options stand at
every command, and in the environment as HOLDFAST_DATA, HOLDFAST_DATABASE and HOLDFAST_APP (comma-separated)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import click

from holdfast.core.errors import InvalidValue
from holdfast.engine.keeping import Declarations
from holdfast.engine.opening import Mode, open_store
from holdfast.engine.store import Store
from holdfast.server.settings import Settings

__all__ = ["BUNDLED", "Place", "database_option", "folder_of", "place_options", "run"]

BUNDLED: Final = ("holdfast.apps.workshop",)
"""What is served where no application is named."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """A data folder and the names of applications; `apps` is empty where none was named."""

    settings: Settings
    database: str | None = None

    @property
    def folder(self) -> Path:
        """Raises InvalidValue, see `folder_of`."""
        return folder_of(self.settings, self.database)

    @property
    def apps(self) -> tuple[str, ...]:
        return self.settings.app

    def declarations(self) -> Declarations:
        """What is declared by the applications named, or else by the bundled ones. Raises DeclarationError."""
        return Declarations.of((), self.apps or BUNDLED, None)

    @asynccontextmanager
    async def store(self, mode: Mode = "auto") -> AsyncIterator[Store]:
        """The store for what concerns people and organisations. Where no application is named only the built-in collections are declared:
        that fits every folder, and changes no tables. If a server holds the folder, it does the writing."""
        async with open_store(self.database or self.folder, apps=self.apps, mode=mode) as store:
            yield store


def folder_of(settings: Settings, database: str | None) -> Path:
    """The data folder. Raises InvalidValue where a database is named instead."""
    if database:
        raise InvalidValue(f"This command looks into a data folder, not into {database.partition('://')[0]}:// databases.",
                           field="database", hint="Name a data folder with --data.")
    return Path(settings.data)


def database_option(command: Callable[..., T]) -> Callable[..., T]:
    return click.option("--database", envvar="HOLDFAST_DATABASE", metavar="URL",
                        help="Database address instead of a data folder. [HOLDFAST_DATABASE]")(command)


def place_options(command: Callable[..., T]) -> Callable[..., T]:
    """`--data`, `--database` and `--app`; the command gets a `Place` as its first argument."""

    @click.option("--data", metavar="DIR", help="Folder that holds everything. [HOLDFAST_DATA; default: data]")
    @database_option
    @click.option("--app", "app", multiple=True, metavar="MODULE",
                  help="Application whose declarations are read; several times. [HOLDFAST_APP; default: the bundled ones]")
    @wraps(command)
    def with_place(data: str | None, database: str | None, app: tuple[str, ...], **others: Any) -> T:
        return command(Place(Settings.load(os.environ, data=data, app=app or None), database), **others)

    return with_place


def run(work: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """A command written as a coroutine."""

    @wraps(work)
    def blocking(*args: P.args, **kwargs: P.kwargs) -> T:
        return asyncio.run(work(*args, **kwargs))

    return blocking


