"""The blocking bridge: the same store without `await`, and nothing left running behind."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast import open_store_blocking
from holdfast.core.errors import InvalidValue, NotFound, StorageLocked
from tests.engine.world import Note


def test_it_saves_and_reads(tmp_path: Path) -> None:
    with open_store_blocking(tmp_path / "data", records=[Note]) as store:
        me = store.member("acme", "ann@example.org")
        note = me.create(Note(title="a", body="Milk"))
        assert me.change(note, body="Milk and bread").body == "Milk and bread"
        assert len(me.history(note)) == 2
        assert me.actor_id == me.caller.actor_id


def test_asynchronous_iterators_are_plain_ones(tmp_path: Path) -> None:
    with open_store_blocking(None, records=[Note]) as store:
        me = store.member("acme", "ann@example.org")
        for title in "abc":
            me.create(Note(title=title))
        assert [note.title for note in me.each(Note)] == ["a", "b", "c"]
        assert [line["fields"]["title"] for line in store.snapshot(me.caller, collections=["notes"]) if "id" in line] == ["a", "b", "c"]


def test_a_subscription_is_iterated_over(tmp_path: Path) -> None:
    with open_store_blocking(None, records=[Note]) as store:
        me = store.member("acme", "ann@example.org")
        hints = store.subscribe("acme")
        note = me.create(Note(title="a"))
        assert next(iter(hints)) == note.rev
        hints.close()


def test_errors_are_the_same(tmp_path: Path) -> None:
    with open_store_blocking(None, records=[Note]) as store:
        me = store.member("acme", "ann@example.org")
        with pytest.raises(NotFound):
            me.get(Note, "00000000-0000-7000-8000-000000000001")
        with pytest.raises(InvalidValue):
            store.change(me.caller, "notes", me.create(Note(title="a")).id, fields={"status": "x"})


def test_any_number_of_threads_may_call(tmp_path: Path) -> None:
    with open_store_blocking(tmp_path / "data", records=[Note]) as store:
        me = store.member("acme", "ann@example.org")
        with ThreadPoolExecutor(8) as pool:
            notes = list(pool.map(lambda number: me.create(Note(title=str(number))), range(40)))
        assert len({note.id for note in notes}) == 40 == len(me.list(Note, limit=100))


def test_nothing_is_left_running(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with open_store_blocking(tmp_path / "data", records=[Note]) as store:
        store.member("acme", "ann@example.org")
        assert set(threading.enumerate()) - before
    assert set(threading.enumerate()) - before == set()


def test_nor_when_it_cannot_be_opened(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with open_store_blocking(tmp_path / "data", records=[Note]):
        inside = set(threading.enumerate())
        with pytest.raises(StorageLocked), open_store_blocking(tmp_path / "data", records=[Note]):
            pass
        assert set(threading.enumerate()) - inside == set()
    assert set(threading.enumerate()) - before == set()


def test_nor_when_the_work_inside_fails(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError), open_store_blocking(tmp_path / "data", records=[Note]) as store:
        store.member("acme", "ann@example.org")
        raise ZeroDivisionError
    assert set(threading.enumerate()) - before == set()
    with open_store_blocking(tmp_path / "data", records=[Note]) as store:
        assert store.accounts.memberships(store.member("acme", "ann@example.org").actor_id) == ["acme"]
