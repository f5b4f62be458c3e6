"""Signing in and out, passwords, and who one is.

Sign-in answers `{token, …}` and sets the session cookie (HttpOnly, SameSite=Lax; under https Secure and `__Host-`). An account in
several organisations that names none gets their list instead. Unknown account, wrong password and foreign organisation have one
answer, in equal time; attempts are counted by account and by address.
"""

from __future__ import annotations

from holdfast.core.errors import HoldfastError, InvalidValue, NotSignedIn, RateLimited
from holdfast.core.stamping import iso
from holdfast.server import forms
from holdfast.server.authenticate import COOKIE, SECURE_COOKIE, is_secure, raise_if_cross_site
from holdfast.server.calls import Answer, Call, Route
from holdfast.server.people import ChooseTenant, SignedIn

__all__ = ["sign_in_routes"]

_EMAIL_MAX = 254
_PASSWORD_MAX = 1_000


async def log_in(call: Call) -> Answer:
    # Another site's page could sign the browser in to an account of its own, to receive what the person then types.
    raise_if_cross_site(call.headers, call.scheme, call.services.settings, must_say=False)
    body = call.given(forms.LogIn)
    if len(body.email) > _EMAIL_MAX or len(body.password) > _PASSWORD_MAX:
        raise InvalidValue(f"An e-mail address has at most {_EMAIL_MAX} characters, a password {_PASSWORD_MAX}.")
    try:
        found = await call.services.people.sign_in(body.email, body.password, tenant=body.tenant, request=call.request)
    except HoldfastError as error:
        call.services.metrics.count("sign_ins", error.code)
        raise
    if isinstance(found, ChooseTenant):
        call.services.metrics.count("sign_ins", "choose")
        return Answer(body=forms.LoggedIn(tenants=[{"tenant": one.tenant, "name": one.name} for one in found.tenants]),
                      headers=_not_compressed())
    call.services.metrics.count("sign_ins", "ok")
    reply = forms.LoggedIn(token=found.token, tenant=found.tenant, actor_id=found.actor_id, expires_at=iso(found.expires_at))
    return Answer(body=reply, headers=[session_cookie(call, found), *_not_compressed()])


async def log_out(call: Call) -> Answer:
    await call.services.people.sign_out(call.signed_in)
    return Answer(status=204, headers=[_cookie(call, "", 0)])


async def change_password(call: Call) -> Answer:
    body = call.given(forms.NewPassword)
    if len(body.new) > _PASSWORD_MAX or len(body.current) > _PASSWORD_MAX:
        raise InvalidValue(f"A password has at most {_PASSWORD_MAX} characters.", field="/new")
    await call.services.people.change_password(call.signed_in, current=body.current, new=body.new, request=call.request)
    return Answer(status=204)


async def me(call: Call) -> Answer:
    return Answer(body=await call.services.people.profile(call.signed_in))


def session_cookie(call: Call, found: SignedIn) -> tuple[bytes, bytes]:
    return _cookie(call, found.token, max(0, (found.expires_at - call.services.runtime.now_ms()) // 1000))


def _cookie(call: Call, value: str, seconds: int) -> tuple[bytes, bytes]:
    secure = is_secure(call.scheme, call.services.settings)
    name = SECURE_COOKIE if secure else COOKIE
    return b"set-cookie", f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}".encode()


def _not_compressed() -> list[tuple[bytes, bytes]]:
    """A compressed answer that holds a secret and something the caller chose tells the secret by its length (BREACH)."""
    return [(b"content-encoding", b"identity")]


def sign_in_routes() -> list[Route]:
    """The rows of the route table for accounts."""
    return [
        Route(method="POST", path="/v1/auth/login", name="log_in", summary="Sign in with e-mail and password.", handler=log_in, public=True,
              body=forms.LogIn, replies={200: forms.LoggedIn}, errors=(InvalidValue, NotSignedIn, RateLimited)),
        Route(method="POST", path="/v1/auth/logout", name="log_out", summary="Withdraw the session or token of this call.", handler=log_out,
              replies={204: None}),
        Route(method="POST", path="/v1/auth/password", name="change_password", summary="Change the own password; other sessions end.",
              handler=change_password, body=forms.NewPassword, replies={204: None}, errors=(InvalidValue, RateLimited)),
        Route(method="GET", path="/v1/me", name="me", summary="Who calls, in which organisation, with which roles.", handler=me,
              replies={200: dict}),
    ]
