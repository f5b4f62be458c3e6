"""Workshops in steps: a facilitator opens one, people join it by a code and answer step by step, and go on days later, on any device.

    holdfast serve --app holdfast.apps.workshop
"""

from holdfast.app import App, route
from holdfast.apps.workshop.actions import create_session, open_workshop, resume, save
from holdfast.apps.workshop.demonstration import Demonstration, demo
from holdfast.apps.workshop.records import ChatMessage, StepResponse, Workshop, WorkshopSession

__all__ = ["ChatMessage", "Demonstration", "StepResponse", "Workshop", "WorkshopSession", "app", "demo"]

app = App(
    "workshop",
    title="Workshops",
    doc="Workshops in steps, with answers that are saved while people write and a chat beside each step.",
    records=[Workshop, WorkshopSession, StepResponse, ChatMessage],
    actions=[open_workshop, create_session, save, resume],
    routes=[
        route("POST", "/api/workshop/create", open_workshop, status=201),
        route("POST", "/api/workshop/session/create", create_session),
        route("POST", "/api/workshop/save", save),
        route("GET", "/api/workshop/{session_id}", resume),
    ],
)
