"""The conformance suite of storage backends. A backend passes it unchanged:

    class TestMyStorage(StorageConformance):
        def make(self, schema): return MyStorage(schema, …)
        def forget(self): …                                     # empty the place where it keeps its data

Its cases are coroutines named `test_…`; pytest with pytest-asyncio (`asyncio_mode = "auto"`) runs them as they are.
"""

from __future__ import annotations

from holdfast.testing.storage.commits import CommitCases
from holdfast.testing.storage.erasing import ErasingCases
from holdfast.testing.storage.log_reads import LogCases
from holdfast.testing.storage.people_reads import PeopleCases
from holdfast.testing.storage.random_runs import RandomCases
from holdfast.testing.storage.row_reads import RowCases
from holdfast.testing.storage.subject import Subject
from holdfast.testing.storage.waiting_reads import WaitingCases

__all__ = ["StorageConformance", "Subject"]


class StorageConformance(CommitCases, LogCases, ErasingCases, RowCases, WaitingCases, PeopleCases, RandomCases):
    """Everything the storage protocol promises."""
