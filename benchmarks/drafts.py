"""The application under load: drafts of about 500 bytes, as an editor auto-saves them.

Served with `holdfast serve --app benchmarks.drafts`.
"""

from __future__ import annotations

from typing import Literal

from holdfast import Json, Record, Text, tenant
from holdfast.app import App

__all__ = ["Draft", "app"]


class Draft(Record, collection="drafts", access=tenant, indexes=[("session",)]):
    """One step of a person's session."""

    session: str
    title: str = ""
    step: int = 0
    status: Literal["draft", "ready"] = "draft"
    body: Text = ""
    answers: Json = {}


app = App("drafting", records=[Draft])
