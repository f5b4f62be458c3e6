"""How a replica waits, retries and shares its file. Names carry their units; the defaults are those of the browser client."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ReplicaSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSettings:
    hold_ms: int = 500                          # a change is sent so long after the last one of its record
    hold_ms_max: int = 2_000                    # and after the first one at the latest
    backoff_seconds: float = 1.0                # bound of the first wait before a retry; doubled each time, drawn from 0 to the bound
    backoff_seconds_max: float = 60.0
    right_seconds: float = 60.0                 # how often to ask again after "not signed in" or "forbidden"
    connect_seconds_max: float = 10.0
    answer_seconds_max: float = 60.0            # a push that is not answered by then is sent again
    silence_seconds_max: float = 60.0           # a socket that says nothing so long is dead; the server's heartbeats come every 15 s
    poll_seconds: float = 5.0                   # between two pulls where no socket comes through
    socket_again_seconds: float = 300.0         # how long to poll before the socket is tried again
    push_mutations_max: int = 500
    push_bytes_max: int = 900 << 10             # of one push: under the server's 4 MiB, and under the 1 MiB a proxy may allow
    shared: bool = True                         # other processes may open the file: one of them sends, all look for changes
    lease_seconds: float = 30.0                 # how long the sender's lease lasts; renewed at a third of it
    watch_seconds: float = 0.25                 # how often to look for what other processes wrote
    disk_retry_seconds: float = 5.0             # how often to try again to write what is in memory alone
