"""Each backend keeps the storage protocol: the shipped suite, run as it is (P1 Kept to P4 Apart)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from holdfast.core.schema import Schema
from holdfast.runtime import RealRuntime
from holdfast.storage.memory import MemoryStorage
from holdfast.storage.protocol import Storage
from holdfast.storage.sqlite import SqliteStorage
from holdfast.testing.storage import StorageConformance


class TestMemory(StorageConformance):
    survives_closing = False

    def make(self, schema: Schema) -> Storage:
        return MemoryStorage(schema)

    def forget(self) -> None:
        """Each one begins empty."""


class TestSqlite(StorageConformance):
    @pytest.fixture(autouse=True)
    def in_a_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "data"

    def make(self, schema: Schema) -> Storage:
        return SqliteStorage(self.folder, schema, RealRuntime(), writer=True)

    def forget(self) -> None:
        shutil.rmtree(self.folder)
