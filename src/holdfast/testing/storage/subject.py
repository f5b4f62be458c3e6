"""The backend that is put to the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from holdfast.core.schema import Schema
from holdfast.storage.protocol import Storage
from holdfast.testing.storage.samples import SCHEMA

__all__ = ["Subject"]


class Subject:
    """Subclasses say how to make the backend. What it cannot do it says by a capability, never by leaving a case out."""

    survives_closing: ClassVar[bool] = True
    """Whether what was committed is there when the store is opened again."""

    def make(self, schema: Schema) -> Storage:
        """The backend, not opened yet. Within one test, always the same place."""
        raise NotImplementedError

    def forget(self) -> None:
        """Make the next `make` begin with an empty place."""
        raise NotImplementedError

    @asynccontextmanager
    async def opened(self, schema: Schema = SCHEMA) -> AsyncIterator[Storage]:
        storage = self.make(schema)
        await storage.open()
        try:
            yield storage
        finally:
            await storage.close()
