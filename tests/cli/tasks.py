"""An application that declares a collection which the notes do not have."""

from __future__ import annotations

from holdfast import Record, tenant
from holdfast.app import App

__all__ = ["Task", "app"]


class Task(Record, collection="tasks", access=tenant):
    """A task."""

    title: str


app = App("tasks", records=[Task])
