"""The Python replica: a device for programs, with every guarantee the browser has.

    from holdfast.client import open_replica
"""

from __future__ import annotations

from holdfast.client.opening import open_replica
from holdfast.client.replica import Replica

__all__ = ["Replica", "open_replica"]
