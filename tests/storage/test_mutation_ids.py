"""A mutation id is in the log once per device, whatever order ids come in. Defends P2 (once)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.entry import Entry
from holdfast.core.errors import StorageConstraint
from holdfast.core.schema import Schema
from holdfast.runtime import RealRuntime
from holdfast.storage.drive import run_sync
from holdfast.storage.protocol import Head, Tenant, Writes
from holdfast.storage.sqlite import SqliteStorage

# Rising, of one millisecond, and no UUIDs at all.
IDS = st.one_of(st.sampled_from([f"0190aaa{number}-0000-7000-8000-000000000000" for number in range(6)]),
                st.sampled_from([f"0190aaaa-0000-7000-8000-00000000000{number}" for number in range(4)]), st.sampled_from(["a", "b", "c"]))
Write = list[tuple[str, str]]
Batch = tuple[list[Write], bool]
WRITES = st.lists(st.lists(st.tuples(st.sampled_from(["D", "E"]), IDS), max_size=3), min_size=1, max_size=2)
BATCHES = st.lists(st.tuples(WRITES, st.booleans()), max_size=6)
DIGEST = "ab" * 32
TENANTS = count()


class GivenUp(Exception):
    """A batch that is taken back."""


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStorage]:
    folder: Path = tmp_path_factory.mktemp("ids")
    found = SqliteStorage(folder, Schema(collections={}), RealRuntime(), writer=True, migrate=True)
    run_sync(found.open())
    yield found
    run_sync(found.close())


def writes_of(tenant: str, write: Write, after: int) -> Writes:
    entries = [Entry(tenant_id=tenant, seq=seq, committed_at=1, stamp=1, actor_id="a", device_id=device, mutation_id=one, digest=DIGEST)
               for seq, (device, one) in enumerate(write, after + 1)]
    return Writes(head=Head(tenant, after + len(write), DIGEST), entries=entries, salts={entry.seq: b"0" * 16 for entry in entries})


async def tell(storage: SqliteStorage, batches: list[Batch], *, asked: bool) -> None:
    """Batches of one or two writes each, some of them given up: the log must take what a set would take."""
    tenant = f"t{next(TENANTS)}"
    async with storage.batch([tenant]) as batch:
        await batch.put_tenant(Tenant(tenant_id=tenant, name="t", created_at=0))
    known: set[tuple[str, str]] = set()
    seq = 0
    for writes, kept in batches:
        ids = [one for write in writes for one in write]
        repeated = len(set(ids)) < len(ids) or bool(known & set(ids))
        at = seq
        try:
            async with storage.batch([tenant]) as batch:
                if asked:
                    await batch.by_mutation(tenant, ids)
                for write in writes:
                    await batch.write(writes_of(tenant, write, at))
                    at += len(write)
                if not kept:
                    raise GivenUp
        except StorageConstraint:
            assert repeated, "no id came twice"
        except GivenUp:
            assert not repeated, "an id was taken twice"
        else:
            assert not repeated, "an id was taken twice"
            known |= set(ids)
            seq = at


@pytest.mark.parametrize("asked", [False, True], ids=["not asked for before", "asked for before"])
@given(batches=BATCHES)
@settings(max_examples=100, deadline=None)
def test_an_id_that_comes_again_is_refused_and_no_other(storage: SqliteStorage, batches: list[Batch], asked: bool) -> None:
    run_sync(tell(storage, batches, asked=asked))
