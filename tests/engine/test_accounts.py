"""Accounts, members, credentials: P4 (one answer for whatever is wrong with a sign-in; no member, no access)."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast import Limits, open_store
from holdfast.core.entry import Request
from holdfast.core.errors import Conflict, Forbidden, InvalidValue, NotFound, NotSignedIn, RateLimited
from holdfast.engine.accounts import Session, TenantChoice
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from tests.engine.world import ALL, Note, StillRuntime

PASSWORD = "a good long password"


@pytest.fixture
async def signed(store: Store) -> Store:
    """An organisation with one person who has a password."""
    await store.accounts.create_tenant("acme", "Acme")
    account = await store.accounts.create_account("Ann@Example.org", PASSWORD)
    await store.accounts.add_member("acme", account, {"owner"}, display_name="Ann")
    return store


async def sign_in(store: Store, email: str = "ann@example.org", password: str = PASSWORD, tenant: str | None = None,
                  address: str = "") -> Session | TenantChoice:
    return await store.accounts.sign_in(email, password, tenant=tenant, request=Request(address=address))


async def test_the_right_password_gives_a_session_that_checks(signed: Store) -> None:
    session = await sign_in(signed)
    assert isinstance(session, Session)
    found = await signed.accounts.check(session.token)
    assert found is not None and (found.tenant_id, found.account_id, found.kind) == ("acme", session.actor_id, "session")


async def test_the_address_is_taken_however_it_is_written(signed: Store) -> None:
    assert isinstance(await sign_in(signed, email="  ANN@example.ORG "), Session)


async def test_whatever_is_wrong_there_is_one_answer(signed: Store) -> None:
    await signed.accounts.create_tenant("other")
    lonely = await signed.accounts.create_account("lonely@example.org", PASSWORD)
    await signed.accounts.create_account("nopassword@example.org")
    assert lonely.email == "lonely@example.org"
    answers = set()
    for email, password, tenant in (("ann@example.org", "wrong", None), ("nobody@example.org", PASSWORD, None),
                                    ("ann@example.org", PASSWORD, "other"),
                                    ("ann@example.org", PASSWORD, "nothing"), ("lonely@example.org", PASSWORD, None), ("", "", None),
                                    ("nopassword@example.org", "", None), ("ann@example.org", "x" * 2_000, None)):
        with pytest.raises(NotSignedIn) as error:
            await sign_in(signed, email, password, tenant)
        answers.add((error.value.detail, error.value.hint, error.value.field))
    assert len(answers) == 1


async def test_a_member_of_several_organisations_chooses(signed: Store) -> None:
    account = await signed.accounts.account("ann@example.org")
    assert account is not None
    await signed.accounts.create_tenant("beta", "Beta")
    await signed.accounts.add_member("beta", account, set())
    choice = await sign_in(signed)
    assert isinstance(choice, TenantChoice) and choice.tenants == (("acme", "Acme"), ("beta", "Beta"))
    session = await sign_in(signed, tenant="beta")
    assert isinstance(session, Session) and session.tenant == "beta"


async def test_attempts_are_limited_per_account(tmp_path: Path, runtime: StillRuntime) -> None:
    async with open_store(None, limits=Limits(sign_in_attempts_per_minute_max=3), runtime=runtime) as store:
        account = await store.accounts.create_account("ann@example.org", PASSWORD)
        await store.accounts.create_tenant("acme")
        await store.accounts.add_member("acme", account, set())
        for _ in range(3):
            with pytest.raises(NotSignedIn):
                await sign_in(store, password="wrong")
        with pytest.raises(RateLimited):
            await sign_in(store)
        runtime.pass_ms(60_001)
        assert isinstance(await sign_in(store), Session)


async def test_an_address_that_tries_many_accounts_is_limited_too(runtime: StillRuntime) -> None:
    async with open_store(None, limits=Limits(sign_in_attempts_per_minute_max=1), runtime=runtime) as store:
        for number in range(10):
            with pytest.raises(NotSignedIn):
                await sign_in(store, email=f"{number}@example.org", address="192.0.2.1")
        with pytest.raises(RateLimited):
            await sign_in(store, email="another@example.org", address="192.0.2.1")
        with pytest.raises(NotSignedIn):
            await sign_in(store, email="another2@example.org", address="192.0.2.2")


async def test_a_session_ends(signed: Store, runtime: StillRuntime) -> None:
    session = await sign_in(signed)
    assert isinstance(session, Session)
    runtime.pass_ms(session.expires_at - runtime.now)
    assert await signed.accounts.check(session.token) is None


async def test_signing_out_ends_it_at_once(signed: Store) -> None:
    session = await sign_in(signed)
    assert isinstance(session, Session)
    found = await signed.accounts.check(session.token)
    assert found is not None
    await signed.accounts.sign_out(found.secret_hash)
    assert await signed.accounts.check(session.token) is None


async def test_a_new_password_ends_the_other_sessions_and_not_this_one(signed: Store) -> None:
    here, there = await sign_in(signed), await sign_in(signed)
    assert isinstance(here, Session) and isinstance(there, Session)
    found = await signed.accounts.check(here.token)
    assert found is not None and await signed.accounts.check(there.token) is not None
    await signed.accounts.change_password(found.account_id, "acme", current=PASSWORD, new="another long one", request=Request(),
                                          keep_hash=found.secret_hash)
    assert await signed.accounts.check(here.token) is not None and await signed.accounts.check(there.token) is None
    with pytest.raises(NotSignedIn):
        await sign_in(signed)
    assert isinstance(await sign_in(signed, password="another long one"), Session)


async def test_a_new_password_needs_the_old_one_and_some_length(signed: Store) -> None:
    account = await signed.accounts.account("ann@example.org")
    assert account is not None
    with pytest.raises(NotSignedIn):
        await signed.accounts.change_password(account.id, "acme", current="wrong", new="another long one", request=Request())
    with pytest.raises(InvalidValue):
        await signed.accounts.change_password(account.id, "acme", current=PASSWORD, new="short", request=Request())


async def test_a_token_is_shown_once_and_kept_as_its_hash(signed: Store) -> None:
    token = await signed.accounts.create_token("acme", "ann@example.org", name="robot")
    assert token.startswith("hf_") and len(token) > 40
    account = await signed.accounts.account("ann@example.org")
    assert account is not None
    async with signed.storage.reader() as reader:
        kept = await reader.credentials("acme", account.id)
    assert token not in str(kept) and len(kept) == 1


async def test_a_tokens_roles_come_narrowed(signed: Store) -> None:
    token = await signed.accounts.create_token("acme", "ann@example.org", roles={"reader"})
    found = await signed.accounts.check(token)
    assert found is not None and found.narrowed == frozenset({"reader"})


async def test_a_token_is_for_members_alone(signed: Store) -> None:
    await signed.accounts.create_account("stranger@example.org")
    for email in ("stranger@example.org", "nobody@example.org"):
        with pytest.raises(NotFound):
            await signed.accounts.create_token("acme", email)


@pytest.mark.parametrize("secret", ["", "hf_", "hf_" + "A" * 43, "x" * 10_000, "hf_é"])
async def test_an_unknown_secret_is_nobodys(signed: Store, secret: str) -> None:
    assert await signed.accounts.check(secret) is None


async def test_an_address_has_one_account(signed: Store) -> None:
    with pytest.raises(Conflict):
        await signed.accounts.create_account("ANN@example.org")


@pytest.mark.parametrize("email", ["", "ann", "a b@example.org", "@example.org", "ann@", "a@b@c", "a" * 300 + "@example.org",
                                   "ann@exa\nmple.org"])
async def test_what_is_no_address_is_invalid(store: Store, email: str) -> None:
    with pytest.raises(InvalidValue):
        await store.accounts.create_account(email)


@pytest.mark.parametrize("slug", ["", "A", "a b", "-a", "a-", "a_b", "ä", "a" * 64, "../x", "a/b"])
async def test_what_is_no_short_name_is_invalid(store: Store, slug: str) -> None:
    with pytest.raises(InvalidValue):
        await store.accounts.create_tenant(slug)


async def test_an_organisation_is_made_once(signed: Store) -> None:
    with pytest.raises(Conflict):
        await signed.accounts.create_tenant("acme")


async def test_a_member_whose_roles_are_given_anew_has_those(store: Store, ann: MemberSession) -> None:
    for roles in ({"a", "b"}, {"b"}, set[str]()):
        ben = await store.member("acme", "ben@example.org", roles=roles)
        assert (await store.accounts.profile("acme", ben.actor_id, None))["roles"] == sorted(roles)


async def test_the_first_member_of_an_organisation_is_its_owner(store: Store) -> None:
    first = await store.member("acme", "first@example.org")
    second = await store.member("acme", "second@example.org")
    assert (await store.accounts.profile("acme", first.actor_id, None))["roles"] == ["owner"]
    assert (await store.accounts.profile("acme", second.actor_id, None))["roles"] == []


async def test_an_organisation_is_never_left_without_an_owner(store: Store, ann: MemberSession) -> None:
    with pytest.raises(Forbidden):
        await store.member("acme", "ann@example.org", roles=set())
    with pytest.raises(Forbidden):
        await store.accounts.remove_member("acme", ann.actor_id)
    with pytest.raises(Forbidden):
        await store.change(ann.caller, "members", ann.actor_id, fields={"roles": []})
    await store.member("acme", "ben@example.org", roles={"owner"})
    await store.accounts.remove_member("acme", ann.actor_id)


async def test_only_an_owner_makes_an_owner(store: Store, ann: MemberSession, ben: MemberSession) -> None:
    admin = await store.member("acme", "admin@example.org", roles={"admin"})
    with pytest.raises(Forbidden):
        await store.change(admin.caller, "members", ben.actor_id, fields={"roles": ["owner"]})
    await store.change(admin.caller, "members", ben.actor_id, fields={"roles": ["helper"]})
    await store.change(ann.caller, "members", ben.actor_id, fields={"roles": ["owner"]})


async def test_a_removed_member_can_come_back_with_the_same_id(store: Store, ann: MemberSession, ben: MemberSession) -> None:
    await store.accounts.remove_member("acme", ben.actor_id)
    with pytest.raises(Forbidden):
        await ben.list(Note)
    again = await store.member("acme", "ben@example.org", roles={"helper"})
    assert again.actor_id == ben.actor_id and await again.list(Note) == []


async def test_who_one_is_and_where(signed: Store) -> None:
    account = await signed.accounts.account("ann@example.org")
    assert account is not None
    profile = await signed.accounts.profile("acme", account.id, frozenset({"x"}))
    assert profile == {"account": account.id, "email": "ann@example.org", "display_name": "Ann", "tenant": "acme", "tenant_name": "Acme",
                       "tenants": ["acme"], "roles": [], "operator": False}
    with pytest.raises(Forbidden):
        await signed.accounts.profile("acme", "nobody", None)


async def test_a_disabled_account_may_not_sign_in(signed: Store) -> None:
    token = await signed.accounts.create_token("acme", "ann@example.org")
    account = await signed.accounts.account("ann@example.org")
    assert account is not None and await signed.accounts.check(token) is not None
    account.disabled = True
    await signed.accounts.keep_account(account)
    assert await signed.accounts.check(token) is None
    assert await signed.accounts.account_id(email="ann@example.org") is None
    with pytest.raises(NotSignedIn):
        await sign_in(signed)


async def test_use_of_a_token_is_noted_now_and_then(signed: Store, runtime: StillRuntime) -> None:
    token = await signed.accounts.create_token("acme", "ann@example.org")
    assert await signed.accounts.check(token) is not None
    for slug in ("later", "latest"):        # whatever was queued before is written by then
        await signed.accounts.create_tenant(slug)
    account = await signed.accounts.account("ann@example.org")
    assert account is not None
    async with signed.storage.reader() as reader:
        assert [one.last_used_at for one in await reader.credentials("acme", account.id)] == [runtime.now]


async def test_everything_is_still_there_when_the_store_is_opened_again(tmp_path: Path) -> None:
    async with open_store(tmp_path / "data", records=ALL) as store:
        await store.accounts.create_tenant("acme")
        account = await store.accounts.create_account("ann@example.org", PASSWORD)
        await store.accounts.add_member("acme", account, {"owner"})
        token = await store.accounts.create_token("acme", "ann@example.org")
    async with open_store(tmp_path / "data", records=ALL) as store:
        assert await store.accounts.check(token) is not None
        assert isinstance(await sign_in(store), Session)
