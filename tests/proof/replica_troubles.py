"""What can befall the disk under a replica, for real: a small file system that is full, a user's limit on the size of files, files that the
system lets nobody write. Each says where the replica's file is to be, begins and ends."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

import pytest

from tests.proof.hosts import ROOT
from tests.proof.replica_crowd import Place, Typist

__all__ = ["TROUBLES", "FileLimit", "Immutable", "SmallDisk", "Trouble"]

DISK = "3m"


class Trouble(Protocol):
    place: Place
    words: str

    def begin(self, typist: Typist) -> None: ...
    def end(self, typist: Typist | None) -> None:
        """The typist is None once its process has ended."""

    def close(self) -> None: ...


class SmallDisk:
    """A tmpfs in a mount namespace that a sleeping process keeps; filled to the last page."""

    words = "The disk is full"

    def __init__(self, folder: Path) -> None:
        disk = folder / "disk"
        disk.mkdir()
        kinds = ["-m"] if os.geteuid() == 0 else ["-Urm"]
        command = f"mount -t tmpfs -o size={DISK},mode=700 tmpfs '{disk}' && echo mounted && exec sleep 1000"
        self._keeper = subprocess.Popen(["unshare", *kinds, "sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._keeper.stdout is not None
        if self._keeper.stdout.readline() != b"mounted\n":
            self.close()
            pytest.skip("no tmpfs of its own can be mounted here")
        enter = ["nsenter", "-t", str(self._keeper.pid), *(["-m"] if kinds == ["-m"] else ["-U", "-m", "--preserve-credentials"])]
        self.place = Place(disk / "a.replica", within=[*enter, f"--wd={ROOT}"])
        self._ballast = Path(f"/proc/{self._keeper.pid}/root") / str(disk).lstrip("/") / "ballast"

    def begin(self, typist: Typist) -> None:
        with self._ballast.open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4096))
            except OSError:
                return

    def end(self, typist: Typist | None) -> None:
        self._ballast.unlink()

    def close(self) -> None:
        self._keeper.kill()
        self._keeper.wait()
        if self._keeper.stdout is not None:
            self._keeper.stdout.close()


class FileLimit:
    """No file of the process may be written beyond its first byte (RLIMIT_FSIZE, what `ulimit -f` sets)."""

    words = "The disk is full"

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder / "a.replica")

    def begin(self, typist: Typist) -> None:
        resource.prlimit(typist.process, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def end(self, typist: Typist | None) -> None:
        if typist is not None:
            resource.prlimit(typist.process, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def close(self) -> None:
        """Nothing is left of it."""


class Immutable:
    """The files may not be written any more, by descriptors that are open neither (`chattr +i`)."""

    words = "The replica's file cannot be written"

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder / "a.replica")
        probe = folder / "probe"
        probe.touch()
        if shutil.which("chattr") is None or subprocess.run(["chattr", "+i", probe], capture_output=True, check=False).returncode:
            pytest.skip("this machine does not let us make files immutable")
        subprocess.run(["chattr", "-i", probe], check=True)

    def _mark(self, how: str) -> None:
        for name in ("", "-wal"):
            path = self.place.file.with_name(self.place.file.name + name)
            if path.exists():
                subprocess.run(["chattr", how, path], check=True)

    def begin(self, typist: Typist) -> None:
        self._mark("+i")

    def end(self, typist: Typist | None) -> None:
        self._mark("-i")

    def close(self) -> None:
        self._mark("-i")


TROUBLES = {"a full disk": SmallDisk, "a limit on files": FileLimit, "files nobody may write": Immutable}
