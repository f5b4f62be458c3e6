"""What the notes examples keep. Served with `cd examples && holdfast serve --app notes_app`."""

from __future__ import annotations

from holdfast import CreatedBy, Record, Text, by_server, own
from holdfast.app import App

__all__ = ["Note", "app"]


class Note(Record, collection="notes", access=own):
    """Something written down, seen by nobody else."""

    title: str
    body: Text = ""
    created_by: CreatedBy = by_server


app = App("notes", records=[Note])
