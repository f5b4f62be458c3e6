"""Who can sign in, with what, from where: kept beside the log (P4 Apart)."""

from __future__ import annotations

from typing import Any

from holdfast.core.entry import Row
from holdfast.core.errors import StorageConstraint
from holdfast.storage.protocol import Account, Credential, Device, Tenant
from holdfast.testing.storage.samples import TENANT, Log, an_id, raising
from holdfast.testing.storage.subject import Subject

__all__ = ["PeopleCases"]


def _tenant(slug: str, **fields: Any) -> Tenant:
    return Tenant(**{"tenant_id": slug, "name": slug.title(), "created_at": 1, **fields})


def _credential(hash: str, **fields: Any) -> Credential:
    return Credential(**{"hash": hash, "kind": "token", "account_id": an_id("me"), "tenant_id": TENANT, "created_at": 5, "expires_at": None,
                         **fields})


def _device(name: str, **fields: Any) -> Device:
    return Device(**{"tenant_id": TENANT, "device_id": name, "actor_id": an_id("me"), "first_seen": 1, "last_seen": 2, **fields})


class PeopleCases(Subject):
    async def test_tenants(self) -> None:
        async with self.opened() as storage:
            acme, zenith = _tenant("acme", wrapped_key="v1:k"), _tenant("zenith", suspended=True)
            async with storage.batch([]) as batch:
                await batch.put_tenant(zenith)
                await batch.put_tenant(_tenant("acme", name="old name"))
                await batch.put_tenant(acme)
            async with storage.reader() as reader:
                assert await reader.tenants() == [acme, zenith]
                assert await reader.tenant("zenith") == zenith
                assert await reader.tenant("nobody") is None

    async def test_accounts_are_found_by_id_and_by_address_of_which_each_has_its_own(self) -> None:
        async with self.opened() as storage:
            me = Account(id=an_id("me"), email="me@example.com", password_hash="argon", created_at=3, operator=True)
            async with storage.batch([]) as batch:
                await batch.put_account(Account(id=me.id, email="old@example.com", password_hash=None, created_at=3))
                await batch.put_account(me)
            async with storage.reader() as reader:
                assert await reader.account(account_id=me.id) == me
                assert await reader.account(email="me@example.com") == me
                assert await reader.account(email="old@example.com") is None
                assert await reader.account(account_id=an_id("you")) is None
            with raising(StorageConstraint):
                async with storage.batch([]) as batch:
                    await batch.put_account(Account(id=an_id("you"), email="me@example.com", password_hash=None, created_at=3))

    async def test_memberships_are_the_tenants_with_a_member_that_is_not_deleted(self) -> None:
        async with self.opened() as storage:
            for tenant, deleted in (("acme", False), ("beta", True), ("zenith", False)):
                async with storage.batch([tenant]) as batch:
                    await batch.put_tenant(_tenant(tenant))
                    row = Row(collection="members", id=an_id("me"), fields={"email": None, "roles": []}, deleted=deleted)
                    await batch.write(Log(tenant).writes(rows=[row]))
            async with storage.reader() as reader:
                assert await reader.memberships(an_id("me")) == ["acme", "zenith"]
                assert await reader.memberships(an_id("you")) == []

    async def test_credentials(self) -> None:
        async with self.opened() as storage:
            session = _credential("aa", kind="session", expires_at=100, csrf="c", name="browser")
            token = _credential("bb", roles=["reader"], revoked_at=7, last_used_at=6)
            async with storage.batch([]) as batch:
                for one in (token, session, _credential("cc", account_id=an_id("you")), _credential("dd", tenant_id="zenith")):
                    await batch.put_credential(one)
            async with storage.batch([]) as batch:
                await batch.touch_credential("aa", 77)
                await batch.touch_credential("unheard", 77)
            session.last_used_at = 77
            async with storage.reader() as reader:
                assert await reader.credential("aa") == session
                assert await reader.credential("bb") == token
                assert await reader.credential("unheard") is None
                assert [one.hash for one in await reader.credentials(TENANT)] == ["aa", "bb", "cc"]
                assert await reader.credentials(TENANT, an_id("me")) == [session, token]

    async def test_devices(self) -> None:
        async with self.opened() as storage:
            log = Log()
            log.add()
            phone, laptop = _device("phone", cursor=4, report={"held": 1, "cause": None}), _device("laptop", actor_id=an_id("you"))
            await log.save(storage, devices=[_device("phone", last_seen=1), laptop])
            async with storage.batch([TENANT]) as batch:
                await batch.put_device(phone)
                await batch.put_device(_device("other", tenant_id="zenith"))
            async with storage.reader() as reader:
                assert await reader.devices(TENANT) == [laptop, phone]
                assert await reader.devices(TENANT, an_id("me")) == [phone]
                assert await reader.devices_named(TENANT, ["phone", "other", "unheard"]) == {"phone": phone}
                assert await reader.devices("nobody") == []

    async def test_settings_are_json_by_tenant_and_name(self) -> None:
        async with self.opened() as storage:
            async with storage.batch([TENANT]) as batch:
                for value in (1, {"a": [None, 2.5]}):
                    await batch.put_setting(TENANT, "name", value)
                await batch.put_setting("zenith", "name", False)
            async with storage.reader() as reader:
                assert await reader.setting(TENANT, "name") == {"a": [None, 2.5]}
                assert await reader.setting("zenith", "name") is False
                assert await reader.setting(TENANT, "unheard") is None

    async def test_attempts_are_counted_in_windows(self) -> None:
        async with self.opened() as storage:
            async def count(key: str, now: int) -> int:
                async with storage.batch([]) as batch:
                    return await batch.count_attempt(key, now, 1_000)

            assert [await count("a", now) for now in (5_000, 5_001, 5_999)] == [1, 2, 3]
            assert await count("b", 5_500) == 1
            assert [await count("a", now) for now in (6_000, 6_999)] == [1, 2]
            assert await count("a", 3_000) == 1      # a clock that was set back begins anew
            assert [await count("b", now) for now in (5_501, 6_500)] == [2, 1]

    async def test_an_attempt_that_was_not_committed_was_not_counted(self) -> None:
        async with self.opened() as storage:
            with raising(ZeroDivisionError):
                async with storage.batch([]) as batch:
                    await batch.count_attempt("a", 1, 1_000)
                    raise ZeroDivisionError
            async with storage.batch([]) as batch:
                assert await batch.count_attempt("a", 2, 1_000) == 1
