"""The application under the keystrokes: one kind of record with one text, which everybody in the organisation may write."""

from __future__ import annotations

from holdfast import Record, Text, tenant
from holdfast.app import App

__all__ = ["Page", "app"]


class Page(Record, collection="pages", access=tenant):
    """A page that people write on."""

    body: Text = ""


app = App("replay", records=[Page])
