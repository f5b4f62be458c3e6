"""A replica's file is one server's, one organisation's, one person's. Defends P4 (apart: another who signs in on the same device never sees
a person's work, and none of it is sent under a wrong name)."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.client import Replica, ReplicaSettings, State, open_replica
from holdfast.core.errors import Forbidden, InvalidValue
from tests.client.telling import told, until
from tests.client.world import Folder, Note, World

SHARED = ReplicaSettings(hold_ms=5, hold_ms_max=20, backoff_seconds=0.01, backoff_seconds_max=0.05, right_seconds=0.2, watch_seconds=0.01,
                         lease_seconds=0.5)


async def test_a_file_of_another_server_is_refused_with_both_names(tmp_path: Path) -> None:
    async with open_replica(tmp_path / "a.replica", "https://one.example.org/", records=[Note, Folder]):
        pass
    with pytest.raises(Forbidden, match=r"belongs to the server https://one\.example\.org, not to https://two\.example\.org"):
        async with open_replica(tmp_path / "a.replica", "https://two.example.org", records=[Note, Folder]):
            pass
    async with open_replica(tmp_path / "a.replica", " https://One.example.org ", records=[Note, Folder]):
        pass


@pytest.mark.parametrize("url", ["example.org", "ftp://example.org", "https://ada:secret@example.org", "https://"])
async def test_an_address_that_is_none_or_holds_a_password_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue) as refused:
        async with open_replica(tmp_path / "a.replica", url, records=[Note, Folder]):
            pass
    assert "secret" not in str(refused.value)


def test_a_file_of_another_organisation_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            assert await replica.synced()
        with pytest.raises(Forbidden, match="belongs to the organisation acme"):
            async with here.replica("a", tenant="globex"):
                pass

    told(tmp_path, story)


def test_a_token_for_another_organisation_is_turned_away(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            replica.create(Note(title="acme's"))
            assert await replica.synced()
            await here.store.member("globex", "ada@example.org", roles=["owner"])
            replica.sign_in(await here.store.accounts.create_token("globex", "ada@example.org", name="replica"))
            await until(lambda: replica.status.connection is State.DENIED)
            assert "acme" in replica.status.cause and "globex" in replica.status.cause

    told(tmp_path, story)


def refuses_everything(replica: Replica, note: Note) -> None:
    for call in (lambda: replica.get(Note, note.id), lambda: replica.list(Note), lambda: replica.create(Note(title="x")),
                 lambda: replica.change(note, title="x"), lambda: replica.text(note, "body"), replica.pending, replica.export,
                 lambda: replica.queue_call("a.b"), replica.sign_out):
        with pytest.raises(Forbidden, match="another person"):
            call()


def test_another_person_sees_nothing_and_writes_nothing_and_the_owner_goes_on(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as ada:
            note = ada.create(Note(title="Ada's"))
            assert await ada.synced()
            ada.go_offline()
            ada.change(note, title="Ada's unsent")
        await here.token("bob@example.org")
        async with here.replica("a", email="bob@example.org") as bob:
            made = bob.create(Note(title="made before anybody knew who he is"))
            await until(lambda: bob.status.connection is State.DENIED)
            assert "another person" in bob.status.cause
            refuses_everything(bob, note)
            bob.sign_in(await here.token())
            await until(lambda: bob.status.connection is State.LIVE)
            assert bob.get(Note, note.id).title == "Ada's unsent"
            assert await bob.synced()
            assert [one["record_id"] for one in bob.refused()] == [made.id], "set aside, and exportable"
        member = await here.store.member("acme", "ada@example.org")
        assert [one.title for one in await member.list(Note)] == ["Ada's unsent"], "nothing was sent under the wrong name"

    told(tmp_path, story)


def test_what_the_owner_had_unsent_is_kept_when_another_signs_in_in_the_same_program(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            note = replica.create(Note(title="one"))
            assert await replica.synced()
            replica.go_offline()
            replica.change(note, title="two")
            replica.sign_in(await here.token("bob@example.org"))
            replica.go_online()
            await until(lambda: replica.status.connection is State.DENIED)
            refuses_everything(replica, note)
            replica.sign_in(await here.token())
            await until(lambda: replica.status.connection is State.LIVE)
            assert not replica.refused() and await replica.synced()
            assert replica.get(Note, note.id).title == "two"

    told(tmp_path, story)


def test_another_persons_records_never_get_into_a_file_that_has_to_be_filled_anew(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as ada:
            ada.create(Note(title="everybody's"))
            assert await ada.synced()
            ada.sign_out()
        async with here.replica("a", email="bob@example.org") as bob:
            await until(lambda: bob.status.connection is State.DENIED)
            assert bob._device.store.counts() == {}

    told(tmp_path, story)


def test_a_second_process_of_another_person_is_turned_away_though_it_sends_nothing(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a", settings=SHARED) as ada:
            note = ada.create(Note(title="Ada's"))
            assert await ada.synced()
            async with here.replica("a", settings=SHARED, email="bob@example.org") as bob:
                await until(lambda: bob._device.person.refusal is not None)
                assert bob.status.connection is not State.CLOSED
                refuses_everything(bob, note)
            async with here.replica("a", settings=SHARED) as also:
                await until(lambda: also._device.person.is_known)
                assert also.get(Note, note.id).title == "Ada's"

    told(tmp_path, story)


def everything_in(folder: Path, name: str) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob(f"{name}.replica*")))


def test_credentials_are_never_in_the_file_nor_its_log_nor_an_export(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        token = await here.token()
        async with here.replica("a", settings=SHARED) as replica:
            note = replica.create(Note(title="found in the file"))
            assert await replica.synced()
            replica.sign_in("hf_a-token-that-is-wrong")
            await until(lambda: replica.status.connection is State.SIGNED_OUT)
            replica.change(note, title="and in its log")
            replica.sign_in(lambda: token)
            assert await replica.synced()
            found = everything_in(tmp_path, "a")
            assert b"and in its log" in found, "the log is looked at too"
            for secret in (token, token.removeprefix("hf_"), "hf_a-token-that-is-wrong", "Bearer"):
                assert secret.encode() not in found and secret not in str(replica.export())
        assert token.encode() not in everything_in(tmp_path, "a")

    told(tmp_path, story)


