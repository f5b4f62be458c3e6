"""The server: HTTP and WebSocket over an opened store, alone (`holdfast serve`) or mounted in an application of one's own.

    app.mount("/holdfast", asgi_app(store))
"""

from holdfast.server.app import HoldfastApp, asgi_app

__all__ = ["HoldfastApp", "asgi_app"]
