"""An application of one's own for the tests of the command line."""

from __future__ import annotations

from holdfast import Record, Sensitive, Text, tenant
from holdfast.app import App

__all__ = ["Note", "app"]


class Note(Record, collection="notes", access=tenant):
    """A note."""

    title: str
    body: Text = ""
    phone: Sensitive[str] | None = None


app = App("notes", records=[Note])
