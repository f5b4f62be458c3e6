"""A desktop notebook (Textual, in the terminal): what is typed is on the disk before the key is up, what other devices type appears while
one types, and the line at the bottom always says truly whether it is saved.

    export HOLDFAST_TOKEN=$(holdfast token create --user ada@example.org --tenant acme)
    python examples/notes_desktop.py notes.replica http://127.0.0.1:8740
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, ClassVar

from notes_app import Note
from textual.app import App, ComposeResult
from textual.containers import Horizontal
from textual.widgets import Footer, ListItem, ListView, Static, TextArea
from textual.widgets.text_area import Edit, EditResult

from holdfast.client import Replica, Status, TextBuffer, open_replica

__all__ = ["NotesDesktop"]

Edits = Sequence[tuple[int, int, str]]


class BoundArea(TextArea):
    """A text area bound to a buffer: each edit goes into it at once, what others type comes out of it, and the cursor stays where it is."""

    def __init__(self) -> None:
        super().__init__(id="body")
        self.buffer: TextBuffer | None = None

    def bind_to(self, buffer: TextBuffer) -> None:
        self.unbind()
        self.buffer = buffer
        self.text = buffer.text
        buffer.on_change(self.show_theirs)

    def unbind(self) -> None:
        if self.buffer is not None:
            self.buffer.close()
            self.buffer = None

    def edit(self, edit: Edit) -> EditResult:
        result = super().edit(edit)
        self.keep()
        return result

    def on_text_area_changed(self) -> None:
        self.keep()                 # undo and redo come this way

    def keep(self) -> None:
        if self.buffer is not None and self.text != self.buffer.text:
            self.buffer.replace_all(self.text)

    def show_theirs(self, edits: Edits) -> None:
        """`edits` came into the buffer; everything typed here was in it before."""
        assert self.buffer is not None
        mark = self.buffer.mark(self.document.get_index_from_location(self.cursor_location))  # type: ignore[attr-defined]
        mark.move(edits)
        self.text = self.buffer.text
        self.cursor_location = self.document.get_location_from_index(mark.at)  # type: ignore[attr-defined]


class NotesDesktop(App[None]):
    """A list of notes, the text of one, and how it stands."""

    CSS = "#notes { width: 24; } #status { height: 1; background: $panel; }"
    BINDINGS: ClassVar[list[Any]] = [("ctrl+n", "new_note", "New note"), ("ctrl+r", "retry", "Retry now"), ("ctrl+q", "quit", "Quit")]

    def __init__(self, path: str, url: str, token: str | None) -> None:
        super().__init__()
        self.where, self.token = (path, url), token
        self.stack = AsyncExitStack()
        self.replica: Replica | None = None
        self.shown: list[str] = []

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield ListView(id="notes")
            yield BoundArea()
        yield Static(id="status")
        yield Footer()

    async def on_mount(self) -> None:
        path, url = self.where
        self.replica = await self.stack.enter_async_context(open_replica(path, url, token=self.token, records=[Note]))
        self.replica.on_status(self.show_status)
        self.replica.on_change(lambda keys: self.call_later(self.show_notes))
        self.show_status(self.replica.status)
        await self.show_notes()
        self.query_one(BoundArea).focus()

    async def on_unmount(self) -> None:
        self.replica = None         # there is nothing left to show its news on
        await self.stack.aclose()

    def show_status(self, status: Status) -> None:
        if self.replica is not None:
            self.query_one("#status", Static).update(" · ".join(part for part in (status.phrase, status.cause) if part))

    async def show_notes(self) -> None:
        if self.replica is None:
            return
        notes = self.replica.list(Note, sort="title")
        if [note.id for note in notes] == self.shown:
            return
        view, area = self.query_one(ListView), self.query_one(BoundArea)
        self.shown = [note.id for note in notes]
        await view.clear()
        await view.extend(ListItem(Static(note.title)) for note in notes)
        if area.buffer is None and notes:
            area.bind_to(self.replica.text(notes[0], "body"))

    def on_list_view_selected(self, selected: ListView.Selected) -> None:
        assert self.replica is not None and selected.list_view.index is not None
        area = self.query_one(BoundArea)
        area.bind_to(self.replica.text(self.replica.get(Note, self.shown[selected.list_view.index]), "body"))
        area.focus()

    async def action_new_note(self) -> None:
        assert self.replica is not None
        note = self.replica.create(Note(title=f"Note {len(self.shown) + 1}"))
        await self.show_notes()
        area = self.query_one(BoundArea)
        area.bind_to(self.replica.text(note, "body"))
        area.focus()

    def action_retry(self) -> None:
        assert self.replica is not None
        self.replica.retry_now()


if __name__ == "__main__":
    NotesDesktop(sys.argv[1], sys.argv[2], os.environ.get("HOLDFAST_TOKEN")).run()
