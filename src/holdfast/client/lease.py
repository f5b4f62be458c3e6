"""Who sends, of several processes on one replica file: whoever holds the lease, a row in `meta` that is renewed while its holder lives.

Two holders at once (a clock that was put back, a process that slept) would do no harm: mutations have ids. So the lease saves work, it
does not keep anybody's promise. A holder that was killed on this machine is seen to be gone at once, one elsewhere when its lease runs out.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from holdfast.client.device import Device
from holdfast.core.errors import WorldError

__all__ = ["Lease"]


class Lease:
    def __init__(self, device: Device, seconds: float) -> None:
        self._device = device
        self._ms = int(seconds * 1_000)
        self.held = False

    def take(self) -> bool:
        """Take or renew it; whether this process now holds it. Where the file cannot be written, whoever could have it sends: two do no
        harm. Not who merely has something in its memory alone: what was sent is not made again on what the sender takes in meanwhile."""
        device = self._device
        now = device.runtime.now_ms()
        try:
            with device.file.writing("taking the sender's lease"):
                device.take_in_others()
                if self._is_taken(now):
                    self.held = False
                    return False
                lease = {"process": device.process, "until": now + self._ms, **self._holder()}
                device.store.put_meta({"lease": lease})
            device.meta["lease"] = lease
        except WorldError:
            self.held = not self._is_taken(now)
            return self.held
        self.held = True
        return True

    def _is_taken(self, now: int) -> bool:
        """Whether another process holds it, as far as this one has heard."""
        lease = self._device.meta.get("lease") or {}
        return (lease.get("process") != self._device.process and 0 < int(lease.get("until", 0)) - now <= self._ms
                and not _is_gone(lease))

    def _holder(self) -> dict[str, Any]:
        """Who to look for; on a simulated disk there is nobody."""
        return {"pid": os.getpid(), "host": socket.gethostname()} if self._device.runtime.sqlite_vfs() is None else {}

    def release(self) -> None:
        """Let another process take it at once."""
        if not self.held:
            return
        self.held = False
        device = self._device
        try:
            with device.file.writing("releasing the sender's lease"):
                device.take_in_others()
                if (device.meta.get("lease") or {}).get("process") == device.process:
                    device.store.put_meta({"lease": None})
        except WorldError:
            return      # it runs out by itself


def _is_gone(lease: Mapping[str, Any]) -> bool:
    """Whether the holder was a process of this machine that is no more. A number that was given anew is waited for."""
    if os.name != "posix" or lease.get("host") != socket.gethostname() or not isinstance(lease.get("pid"), int):
        return False
    try:
        os.kill(lease["pid"], 0)        # sends nothing
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
