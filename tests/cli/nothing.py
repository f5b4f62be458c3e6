"""An application that declares nothing."""

from __future__ import annotations

from holdfast.app import App

__all__ = ["app"]

app = App("nothing")
