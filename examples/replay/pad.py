"""The application under the keystrokes: one kind of record with one text that everybody in the organisation may write."""

from __future__ import annotations

from holdfast import Record, Text, tenant

__all__ = ["Page"]


class Page(Record, collection="pages", access=tenant):
    """A page that people write on."""

    body: Text = ""
