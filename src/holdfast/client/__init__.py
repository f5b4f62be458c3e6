"""The Python replica: a device for programs, with every guarantee the browser has.

    from holdfast.client import open_replica
"""

from __future__ import annotations

from holdfast.client.autosave import AutoSaved
from holdfast.client.autosaver import AutoSaver
from holdfast.client.backends import Backend, FileBackend, MemoryBackend, ServerBackend, SQLiteBackend
from holdfast.client.blocking import open_replica_blocking, open_saver_blocking
from holdfast.client.blocking_face import BlockingAutoSaved, BlockingBuffer, BlockingRemote, BlockingReplica, BlockingSaver
from holdfast.client.buffer import Mark, TextBuffer
from holdfast.client.machine import State
from holdfast.client.opening import open_replica
from holdfast.client.replica import Replica
from holdfast.client.results import Result
from holdfast.client.settings import ReplicaSettings
from holdfast.client.status import Status
from holdfast.client.transport import Answered, Channel, ChannelClosed, Reply, Request, Transport, Unreachable

__all__ = [
    "Answered",
    "AutoSaved",
    "AutoSaver",
    "Backend",
    "BlockingAutoSaved",
    "BlockingBuffer",
    "BlockingRemote",
    "BlockingReplica",
    "BlockingSaver",
    "Channel",
    "ChannelClosed",
    "FileBackend",
    "Mark",
    "MemoryBackend",
    "Replica",
    "ReplicaSettings",
    "Reply",
    "Request",
    "Result",
    "SQLiteBackend",
    "ServerBackend",
    "State",
    "Status",
    "TextBuffer",
    "Transport",
    "Unreachable",
    "open_replica",
    "open_replica_blocking",
    "open_saver_blocking",
]
