"""What an application is made of: `App`, `action`, `route`, and the `Context` that an action works with."""

from holdfast.engine.actions import Context, Queued
from holdfast.engine.app import Action, App, AppRoute, action, route

__all__ = ["Action", "App", "AppRoute", "Context", "Queued", "action", "route"]
